alter table {schema}.node
	add column id text not null default '',
	add column owner bytea,
	add column beat timestamptz;
comment on column {schema}.node.id is 'The node of the process.';
comment on column {schema}.node.owner is 'What the process has drawn when it took the database. Each step of it checks that this is still so.';
comment on column {schema}.node.beat is 'When the process last said that it runs, by the clock of the server. Empty where a session lock says so.';
comment on table {schema}.node is 'Which process has the database.';

create function {schema}.step(step_id bytea, step_owner bytea, fence bigint) returns void language plpgsql as $$
begin
	perform pg_advisory_xact_lock_shared(fence);
	if not exists (select 1 from {schema}.node where owner = step_owner) then
		raise exception 'another process has the database' using errcode = 'EL002';
	end if;
	insert into {schema}.steps (id, void) values (step_id, false);
end $$;
comment on function {schema}.step is 'Begins a step. A process that takes the database waits for those that run.';
