-- That the wave starts (Before), or that it passes (After).
alter table approvals add column stage text not null default 'Before';
