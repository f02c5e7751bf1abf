-- How many seconds a cluster's clock is ahead of this database's, as far as its heartbeats prove it; less than nothing: behind.
-- No index: every heartbeat may write it.
alter table cluster_sessions add column clock_ahead bigint not null default 0;
