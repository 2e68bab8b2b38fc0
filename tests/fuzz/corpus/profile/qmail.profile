# qmail-LDAP (qmail.schema, 1.3.6.1.4.1.7914). An account forwards and keeps a copy, unless its
# deliveryMode says nolocal.

rank 40
detect class qmailUser

class qmailUser  user
class qmailGroup group

attribute mailAlternateAddress  mailAlternateAddress
attribute mailForwardingAddress mailForwardingAddress
attribute deliveryMode          deliveryMode
          word localdelivery keep  word nolocal nolocal
attribute mailHost              mailHost
attribute mailQuotaSize         quota
attribute mailQuota             quota
attribute dnmember              member
attribute rfc822member          rfc822MailMember
attribute accountStatus         accountStatus
          word active active  word enabled active  word noaccess noaccess
          word disabled disabled  word deleted disabled  word * noaccess
