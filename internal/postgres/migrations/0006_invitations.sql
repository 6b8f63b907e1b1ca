create table {schema}.invitations (
	ends timestamptz not null,
	digest bytea not null,
	id text not null,
	inviter text collate "C" not null,
	mailbox bytea not null,
	ver bigint not null,
	primary key (ends, digest)
);
create index invitations_inviter on {schema}.invitations (inviter, ends, digest);
create index invitations_mailbox on {schema}.invitations (mailbox, ends, digest);
comment on table {schema}.invitations is 'Which flows invite somebody. What became of one is in its flow.';
comment on column {schema}.invitations.inviter is 'The account that has sent it, empty for an operator.';
