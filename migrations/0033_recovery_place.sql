-- Which tables of which database were decided on last, by the server's own numbers: a dump that is put into a running server
-- has the timeline of that server, and other tables. Empty: not known yet; a hub of the version before writes nothing here.
alter table hub_recovery add column place text not null default '';
