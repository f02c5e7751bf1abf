-- Who did what, where.
create index history_cluster on history (cluster, sequence);
create index history_actor on history (actor, sequence);
create index history_kind on history (kind, sequence);
