//go:build mailservers

package mailservers

import (
	"os"
	"strings"
)

// servers says how to start each one: STARTTLS on one port, implicit TLS on the other, both only for a user with a password,
// and every mail into the mailbox. Exim offers PLAIN and LOGIN, Postfix SCRAM-SHA-256 alone.
var servers = map[string]func(*rig){
	"exim": func(r *rig) {
		r.must(os.MkdirAll(r.root+"/var/log/exim4", 0o777))
		r.must(os.Chmod(r.root+"/var/log/exim4", 0o777))
		r.must(os.MkdirAll(r.root+"/var/spool/exim4", 0o750))
		r.must(os.Chown(r.root+"/var/spool/exim4", 900, 900))
		r.must(os.Chown(r.root+"/key.pem", 900, 900)) // Debian-exim
		r.file("/etc/exim4/exim4.conf", eximConf, 0o644)
		r.serve("/usr/sbin/exim4", "-bdf", "-q5m")
	},
	"postfix": func(r *rig) {
		for dir, mode := range map[string]os.FileMode{
			"": 0o755, "active": 0o700, "bounce": 0o700, "corrupt": 0o700, "defer": 0o700, "deferred": 0o700, "flush": 0o700, "hold": 0o700,
			"incoming": 0o700, "private": 0o700, "public": 0o710, "maildrop": 0o730 | os.ModeSticky, "pid": 0o755, "saved": 0o700, "trace": 0o700,
		} {
			dir = r.root + "/var/spool/postfix/" + dir
			r.must(os.MkdirAll(dir, 0o755))
			if dir != r.root+"/var/spool/postfix/" && !strings.HasSuffix(dir, "/pid") {
				r.must(os.Chown(dir, 901, 902)) // postfix, postdrop
			}
			r.must(os.Chmod(dir, mode))
		}
		r.must(os.MkdirAll(r.root+"/var/lib/postfix", 0o755))
		r.must(os.Chown(r.root+"/var/lib/postfix", 901, 901))
		r.file("/etc/postfix/main.cf", postfixMain, 0o644)
		r.file("/etc/postfix/master.cf", postfixMaster, 0o644)
		r.file("/etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: SCRAM-SHA-256\n", 0o644)
		r.must(os.RemoveAll(r.root + "/etc/sasldb2"))
		add := r.command("/usr/sbin/saslpasswd2", "-p", "-c", "-u", "mx.example.org", user)
		add.Stdin = strings.NewReader(password)
		if out, err := add.CombinedOutput(); err != nil {
			r.t.Fatalf("saslpasswd2: %v\n%s", err, out)
		}
		r.must(os.Chown(r.root+"/etc/sasldb2", 901, 901))
		r.serve("/usr/lib/postfix/sbin/master", "-d", "-c", "/etc/postfix")
	},
}

const eximConf = `
primary_hostname = mx.example.org
exim_user = Debian-exim
exim_group = Debian-exim
daemon_smtp_ports = $STARTTLS : $IMPLICIT
tls_on_connect_ports = $IMPLICIT
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = /cert.pem
tls_privatekey = /key.pem
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
acl_smtp_mail = check_mail
acl_smtp_rcpt = accept
acl_smtp_data = accept
host_lookup =
rfc1413_hosts =
log_file_path = /var/log/exim4/%slog
never_users =
domainlist local_domains = example.org

begin acl
check_mail:
  deny !authenticated = *
  accept

begin routers
all:
  driver = accept
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = $BOX
  maildir_format
  create_directory
  user = nobody
  group = nogroup

begin retry
* * F,1h,1m

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${if and{{eq{$auth2}{$USER}}{eq{$auth3}{$PASSWORD}}}}
  server_set_id = $auth2
  server_prompts = :
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${if and{{eq{$auth1}{$USER}}{eq{$auth2}{$PASSWORD}}}}
  server_set_id = $auth1
`

const postfixMain = `
compatibility_level = 3.6
myhostname = mx.example.org
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mail_owner = postfix
setgid_group = postdrop
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
data_directory = /var/lib/postfix
queue_directory = /var/spool/postfix
shlib_directory = /usr/lib/postfix
maillog_file = /dev/stdout
alias_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:mailbox/
virtual_mailbox_base = /var
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
smtpd_tls_cert_file = /cert.pem
smtpd_tls_key_file = /key.pem
smtpd_tls_security_level = encrypt
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = mx.example.org
smtpd_tls_auth_only = yes
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_peername_lookup = no
`

const postfixMaster = `
127.0.0.1:$STARTTLS inet n - n - - smtpd
127.0.0.1:$IMPLICIT inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
showq     unix n - n - - showq
postlog   unix-dgram n - n - 1 postlogd
`
