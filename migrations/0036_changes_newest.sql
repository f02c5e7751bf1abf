-- By the newest change that a cluster told of a Rollout it is seen whether it is told once more.
create index changes_newest on changes (cluster, namespace, rollout, id);
