create index events_account on {schema}.events (account, at, seq);
