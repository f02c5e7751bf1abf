-- Client certificates of clusters, each from the transaction that issued it. Those from before this file are not here.
create table certificates (
    -- Hex SHA-256 of the certificate.
    fingerprint text primary key,
    cluster text not null references clusters (name),
    issued_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index certificates_cluster on certificates (cluster);
-- From then on certificates that are not listed are denied too.
alter table clusters add column revoked_at timestamptz;
