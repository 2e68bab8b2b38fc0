# LDAP mail routing as sendmail and Postfix read it: misc.schema of OpenLDAP, from the draft
# draft-lachman-laser-ldap-mail-routing, with the mail aliases of nis.

rank 60
detect class inetLocalMailRecipient
detect class nisMailAlias

class inetLocalMailRecipient recipient
class nisMailAlias           cn-alias

attribute mailLocalAddress   mailAlternateAddress
attribute mailRoutingAddress mailRoutingAddress
attribute mailHost           mailHost
attribute rfc822MailMember   rfc822MailMember
