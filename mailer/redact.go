package mailer

import "strings"

// HideRecipient replaces the address to in what a mail server says, in any case, and its local part where that is a word of its own: servers
// like to repeat whom they refuse. A local part that is a word which servers say of themselves, such as "mail" or "the", stays: it names
// no person, and without it the reason could not be read.
func HideRecipient(text, to, address, name string) string {
	at := strings.LastIndexByte(to, '@')
	if at < 1 {
		return text
	}
	text = replaceWord(text, to, address)
	local := to[:at]
	if len(local) < 2 || serverWords[strings.ToLower(local)] || len(local) < 6 && strings.Trim(local, "0123456789.") == "" {
		return text
	}
	return replaceWord(text, local, name)
}

// replaceWord replaces old, in any case of its ASCII letters, wherever no letter or digit is beside it.
func replaceWord(text, old, with string) string {
	var b strings.Builder
	begin := 0
	for i := 0; i+len(old) <= len(text); {
		end := i + len(old)
		if !strings.EqualFold(text[i:end], old) || i > 0 && wordByte(text[i-1]) || end < len(text) && wordByte(text[end]) {
			i++
			continue
		}
		b.WriteString(text[begin:i] + with)
		begin, i = end, end
	}
	return b.String() + text[begin:]
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// serverWords are words of mail servers' answers (RFC 5321, RFC 3463, and those of large providers), and of this program's own errors.
var serverWords = func() map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.Fields(`
		a abuse accept acceptable accepted accepting access account accounts action activity actual add address addresses admin administration
		administrative administrator after again ahead alert alias all allow allowed already also an and another answer any app application apply are
		as ask at attempt attempts auth authenticated authenticate authenticating authentication authorization authorized back backend bad bandwidth
		banned banner basic be because been before begin big bill billing black block blocked blocking body bounce box broken bulk business busy but by
		bye call can cannot case cause center centre certificate change channel characters check checks class client clients close closed closing code
		come command commands common complaints complete concurrent condition configuration configured connect connected connection connections contact
		contain contains content continue copy could count create credentials cross current customer daily data database day days dead deferred
		delay delayed deliver delivered delivery denied dependent desk destination details detected device did directory disabled discarded disk dkim
		dmarc dns do does domain domains down duplicate each early ehlo email emails enabled encoding encryption end engine enough enter error
		errors exceed exceeded exceeds exim exist exists expired external failed failure false fatal few file filter find firewall first for
		forbidden form format forward found free from full further gateway general get global go good got grey greylist greylisted greylisting group
		guest had has have header headers hello helo help here high hold home host hosts hour hourly hours how id identity if ignored illegal
		in inactive inbox incoming incorrect info information input insufficient intended internal invalid invoice ip is issue it its job jobs join
		just keep key known large last late later legal length less let letter level like limit limited limits line lines link links list listed listen
		local localhost locked login logon long lookup lost low mail mailbox mailer mailing mails main maintenance malformed malware manager many
		marketing match matched matching max maximum may me media meet member memory message messages method minute minutes mode more most
		mx must my name named names need needed net network never new news newsletter next no node none noreply not note nothing now number of off offer
		offers office ok on once one only open operation options or order other our out outbound over own page parameter parameters part partner
		password path per perform permanent permanently permission permissions permitted person phone please policy pool poor port post postmaster
		press private problem process processing program prohibited protection protocol provide provided provider proxy public queue queued quit quota
		rate rates rcpt read ready real reason reasons receive received receiver receiving recipient recipients record recovery refuse refused register
		reject rejected rejection relay relayed relaying remote remove removed reply report reputation request require required requires reset resolve
		resource resources response restricted restriction retry return returned reverse root route routing rule sales same say says scan score seconds secure
		security see send sender senders sending sent sequence server servers service services session set sharing shop should sign signed site size
		slow smtp so some sorry source space spam spf spool staff start started starttls state status still stop storage store stored string studio subject
		submission submit such suitable support suspended suspicious syntax system systems take team technical temporarily temporary terminated test
		text than that the their them there these they this though through time timed times tls to today token too top trace traffic transaction
		transfer transient transmission transport trouble try trying two type unable unauthenticated unavailable under unexpected unknown
		unrecognized unsolicited until up update upgrade uri url us usage use used user username users using valid value verification verified
		verify version via view virtual virus visit volume wait want warning was way we web webmaster website welcome were what when where which while
		white who why will window with within without work workspace world write wrong yes yet you your zone`) {
		words[w] = true
	}
	return words
}()
