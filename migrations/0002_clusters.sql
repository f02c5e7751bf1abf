create table clusters (
    name text primary key,
    labels jsonb not null,
    -- Bound at join (gate.md L4).
    kube_system_uid text,
    note text not null default '',
    joined_at timestamptz
);

-- What a cluster should hold has one number (gate.md L1). A table of its own: sessions change at every heartbeat, and a
-- deciding transaction must not collide with them.
create table cluster_sets (
    cluster text primary key references clusters (name),
    incarnation bigint not null,
    version bigint not null default 0
);

create table cluster_sessions (
    cluster text primary key references clusters (name),
    session bigint not null default 0,
    open boolean not null default false,
    last_seen_at timestamptz,
    agent_version text not null default '',
    stored_incarnation bigint not null default 0,
    stored_version bigint not null default 0,
    set_hash text not null default '',
    regressed boolean not null default false,
    -- The last report of this session that was committed (gate.md L3).
    reported bigint not null default 0,
    -- For people: which hub process has the stream. For a restore: the newest history head that the agent was handed.
    hub text not null default '',
    audit_head text not null default ''
);

create table join_tokens (
    id text primary key,
    -- Hex SHA-256: the secret itself is never here.
    secret_hash text not null,
    cluster text not null,
    labels jsonb not null,
    created_by text not null,
    expires_at timestamptz not null,
    spent_at timestamptz,
    -- The same request again within ten minutes gets the same answer: a lost reply must not cost the token (gate.md L6).
    csr_hash text,
    certificate text
);

-- Denied attempts.
create table refusals (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    kind text not null,
    who text not null,
    message text not null
);
