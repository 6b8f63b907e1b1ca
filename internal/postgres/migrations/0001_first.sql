-- The state of a gate. Times are those of the gate's clock. What is secret or says who somebody is, is sealed by the gate: the columns
-- private, password and sealed. A digest is keyed: nobody can make one, or turn it back, without the gate's key.
--
-- Each table has a version (ver): a step of the gate changes a row only if it is the one that the step has read.

create table {schema}.accounts (
	id text collate "C" primary key,
	mailbox bytea not null unique,
	status smallint not null,
	roles text[] not null,
	private bytea,
	password bytea,
	created timestamptz,
	ver bigint not null
) with (fillfactor = 90);
comment on table {schema}.accounts is 'Who may sign in.';
comment on column {schema}.accounts.mailbox is 'Keyed digest of the canonical address.';
comment on column {schema}.accounts.status is '1 active, 2 disabled.';
comment on column {schema}.accounts.private is 'Sealed: address, name, language.';
comment on column {schema}.accounts.password is 'Sealed: records of passwords.';

create table {schema}.epochs (
	key bytea primary key,
	ver bigint not null
) with (fillfactor = 80);
comment on table {schema}.epochs is 'Numbers that only grow. What was made under an earlier one is void.';
comment on column {schema}.epochs.key is 'g: everything. a and the id of an account. m and the digest of a mailbox.';
comment on column {schema}.epochs.ver is 'The epoch itself.';

create table {schema}.flows (
	ends timestamptz not null,
	digest bytea not null,
	id text not null,
	site text not null,
	purpose text not null,
	mailbox bytea not null,
	epoch_global bigint not null,
	epoch_mailbox bigint not null,
	epoch_account bigint not null,
	account text collate "C" not null,
	bound boolean not null,
	ip_ends timestamptz[] not null,
	ip_digests bytea[] not null,
	started timestamptz,
	resends_left integer not null,
	next_resend timestamptz,
	codes bytea[] not null,
	wrong_codes integer not null,
	state smallint not null,
	ended_by bytea,
	session_ends timestamptz,
	session_digest bytea,
	private bytea,
	ver bigint not null,
	primary key (ends, digest)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
comment on table {schema}.flows is 'Requests for a mail that are under way, one for unknown addresses too.';
comment on column {schema}.flows.ends is 'When it ends by itself.';
comment on column {schema}.flows.digest is 'Keyed digest of the cookie of the browser that asked.';
comment on column {schema}.flows.ip_digests is 'With ip_ends the counters that a use of the link gives back.';
comment on column {schema}.flows.codes is 'Keyed digests of the typed codes, one for each mail.';
comment on column {schema}.flows.state is '1 open, 2 redeemed, 3 cancelled.';
comment on column {schema}.flows.ended_by is 'Digest of the token or code that ended it.';
comment on column {schema}.flows.private is 'Sealed: address as typed, destination, browser, language.';

create table {schema}.tokens (
	ends timestamptz not null,
	digest bytea not null,
	kind smallint not null,
	flow_ends timestamptz,
	flow_digest bytea,
	used timestamptz,
	replayed boolean not null,
	ver bigint not null,
	primary key (ends, digest)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
comment on table {schema}.tokens is 'Mailed links. The text of a link is in no table.';
comment on column {schema}.tokens.kind is '1 link, 2 "this wasn''t me", 3 the mark of something that happens once.';

create table {schema}.sessions (
	ends timestamptz not null,
	digest bytea not null,
	id text not null,
	account text collate "C" not null,
	mailbox bytea not null,
	epoch_global bigint not null,
	epoch_mailbox bigint not null,
	epoch_account bigint not null,
	site text not null,
	methods text[] not null,
	auth_time timestamptz,
	created timestamptz,
	seen timestamptz,
	idle_ends timestamptz,
	parent_ends timestamptz,
	parent_digest bytea,
	device text not null,
	network text not null,
	ver bigint not null,
	primary key (ends, digest)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index sessions_account on {schema}.sessions (account, ends, digest);
comment on table {schema}.sessions is 'Signed-in browsers.';
comment on column {schema}.sessions.digest is 'Keyed digest of the value of the cookie.';
comment on column {schema}.sessions.seen is 'The last use that was written. No index holds it, so that a use changes no index.';

create table {schema}.machine_tokens (
	ends timestamptz not null,
	digest bytea not null,
	id text not null,
	account text collate "C" not null,
	mailbox bytea not null,
	epoch_global bigint not null,
	epoch_mailbox bigint not null,
	epoch_account bigint not null,
	site text not null,
	scopes text[] not null,
	created timestamptz,
	revoked timestamptz,
	private bytea,
	ver bigint not null,
	primary key (ends, digest)
);
comment on table {schema}.machine_tokens is 'Bearer tokens of programs. The text of a token is in no table.';

create table {schema}.counters (
	ends timestamptz not null,
	digest bytea not null,
	n bigint not null,
	primary key (ends, digest)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
comment on table {schema}.counters is 'Limits: what was taken in a window of time, by the digest of whom it concerns.';

create table {schema}.mails (
	id bytea primary key,
	due timestamptz not null,
	ends timestamptz,
	gone timestamptz not null,
	queued timestamptz,
	attempts integer not null,
	flow_ends timestamptz,
	flow_digest bytea,
	purpose text not null,
	site text not null,
	sealed bytea,
	dead boolean not null,
	reason text not null,
	ver bigint not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index mails_due on {schema}.mails (due, id) where not dead;
create index mails_gone on {schema}.mails (gone);
comment on table {schema}.mails is 'Mails that wait, and dead letters.';
comment on column {schema}.mails.sealed is 'Sealed: the address, the seed of the link and the code, what the mail says.';
comment on column {schema}.mails.gone is 'When a sweep removes the row, or what is sealed in it.';

create table {schema}.events (
	seq bigint generated always as identity primary key,
	at timestamptz not null,
	ends timestamptz not null,
	name text not null,
	purpose text not null,
	outcome text not null,
	account text not null,
	flow text not null,
	site text not null,
	client text not null,
	command text not null,
	operator text not null,
	host text not null
);
create index events_at on {schema}.events (at, seq);
create index events_ends on {schema}.events (ends);
comment on table {schema}.events is 'The audit log.';
comment on column {schema}.events.client is 'The network of the client, never its address.';

create table {schema}.meta (
	name text collate "C" primary key,
	value bytea not null,
	ver bigint not null
);
comment on table {schema}.meta is 'Single values, the sealed keys among them.';

create table {schema}.steps (
	id bytea primary key,
	void boolean not null,
	at timestamptz not null default now()
);
comment on table {schema}.steps is 'One row for each step of the last minutes. Where an answer was lost, it says whether the step was committed; a void one can be no more.';

create table {schema}.node (
	one boolean primary key default true check (one),
	host text not null,
	pid integer not null,
	since timestamptz not null default now()
);
comment on table {schema}.node is 'Which process has the database. The session lock decides, this names it.';

create function {schema}.must(ok boolean) returns void language plpgsql as $$
begin
	if not ok then
		raise exception 'a row is not what the step has read' using errcode = 'EL001';
	end if;
end $$;
comment on function {schema}.must is 'Undoes a step that depends on what has changed. The gate runs it again.';
