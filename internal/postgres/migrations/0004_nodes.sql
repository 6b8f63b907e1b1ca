create table {schema}.changes (
	pos bigint generated always as identity primary key,
	xid xid8 not null default pg_current_xact_id(),
	at timestamptz not null default now(),
	node text not null,
	kind smallint not null,
	account text not null,
	ends timestamptz,
	digest bytea
);
create index changes_xid on {schema}.changes (xid);
comment on table {schema}.changes is 'What steps of the last hour have ended or changed, for the caches of other nodes.';
comment on column {schema}.changes.xid is 'The transaction. Nodes follow by it: a row whose transaction commits late is not missed.';

create table {schema}.nodes (
	id text primary key,
	host text not null,
	pid integer not null,
	version text not null default '',
	schema integer not null,
	config text not null default '',
	secrets text[] not null default '{}',
	skew interval not null default '0',
	started timestamptz not null default clock_timestamp(),
	beat timestamptz not null default clock_timestamp()
);
comment on table {schema}.nodes is 'The processes that use this schema, and when each was last heard of.';

create table {schema}.duties (
	name text primary key,
	node text not null,
	until timestamptz not null
);
comment on table {schema}.duties is 'What one node does for all, and until when the others leave it to that node.';
