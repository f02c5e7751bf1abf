-- Since when a hub listens without a gap: silence and deadlines of clusters count from then (S7). None: it is learnt when the
-- lease is taken. A hub of the version before writes nothing here, and one of this version that follows it within the time in
-- which a cluster counts as heard keeps what there is.
alter table hub_lease add column since timestamptz;
