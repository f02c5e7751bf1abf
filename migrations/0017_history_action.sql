-- What a row did to the tables, whole: replaying these from the first row on gives the tables (S2). Null: a fact that
-- changes none of them, or a row from before this file.
alter table history add column action jsonb;
