alter table {schema}.mails
	add column lane smallint not null default 0,
	add column position bigint not null default 0,
	add column empty boolean not null default false;
create index mails_lane on {schema}.mails (lane, due, id) where not dead;
create index mails_line on {schema}.mails (position, id) where not dead and lane = 2;
drop index {schema}.mails_due;
comment on column {schema}.mails.lane is '0 to an account, 1 not looked up yet, 2 waits in the line.';
comment on column {schema}.mails.position is 'The place in the line. From 2^40 on the mail waits until a limit permits it.';
comment on column {schema}.mails.empty is 'It only takes the place of a mail that left by another lane.';
