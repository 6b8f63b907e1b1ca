package mailer

// Kind is which of our messages a mail is: the outbox chooses it, and templates have the two files mails/<kind>.html and
// mails/<kind>.txt for each.
type Kind string

// Kinds of messages.
const (
	// KindLink carries the link and the code that sign in or, for a mailbox without an account, finish the sign-up.
	KindLink Kind = "link"
	// KindReset carries the link to the page that sets a new password, and no code.
	KindReset Kind = "reset"
	// KindProof carries the code by which a signed-in person proves an act on the account, and names that act. It carries no link that signs in.
	KindProof Kind = "proof"
	// KindAddressNew carries the link and the code by which a mailbox confirms that it becomes that of an account, and KindAddressConsent the link
	// by which the present one agrees. Neither signs in.
	KindAddressNew     Kind = "address-new"
	KindAddressConsent Kind = "address-consent"
	// KindAddressChanged informs both mailboxes of an account of a change of its address. That to the mailbox which the account had before carries
	// the link that takes the account back, unless an earlier mailbox has one.
	KindAddressChanged Kind = "address-changed"
	// KindAddressRestored informs both mailboxes that one has taken the account back.
	KindAddressRestored Kind = "address-restored"
	// KindInvite carries the link by which an invited person accepts, and names the site, the roles and the inviter. Where the person has asked
	// for it, it carries a code as well.
	KindInvite Kind = "invite"
	// KindAccountExists answers a sign-up for a mailbox that has an account, and the wish to make that mailbox the one of another account. Where
	// mails sign in at the site, its link and code sign in to that account in answer to a sign-up.
	KindAccountExists Kind = "exists"
	// KindNoAccount answers a sign-in or a reset for a mailbox without an account, where sign-up is open.
	KindNoAccount Kind = "no-account"
	// KindPasswordChanged informs an account's owner that its password has been set or reset: when, and from which browser and
	// network. It carries no link that signs in.
	KindPasswordChanged Kind = "password-changed"
	// KindNewDevice informs an account's owner of a sign-in from a browser not seen before. It carries no link that signs in.
	KindNewDevice Kind = "new-device"
	// KindAccountDeleted informs the owner of an account that it was deleted, and carries the link that keeps it until it is gone.
	KindAccountDeleted Kind = "account-deleted"
)

// Kinds lists every kind.
var Kinds = []Kind{KindLink, KindReset, KindProof, KindInvite, KindAddressNew, KindAddressConsent, KindAddressChanged, KindAddressRestored, KindAccountExists, KindNoAccount, KindPasswordChanged, KindNewDevice, KindAccountDeleted}
