# Univention Corporate Server (1.3.6.1.4.1.10176). "mail" is a person's contact there, not a mailbox.
# A user that forwards keeps a copy where the own address is among those that it forwards to.
# A quota counts MiB; 0 is none. A deactivated account may not log in; its mail arrives.

rank 20
detect class univentionMail

class univentionMail           user
class univentionGroup          group
class univentionMailList       group
class univentionMailDomainname domain
class univentionMailSharedFolder nothing

attribute mail                    nothing
attribute mailPrimaryAddress      mail
attribute mailAlternativeAddress  mailAlternateAddress
attribute mailForwardAddress      mailRoutingAddress
attribute mailForwardCopyToSelf   deliveryMode word 1 keep word 0 nolocal
attribute univentionMailHomeServer mailHost
attribute univentionMailUserQuota quota unit 1M
attribute univentionMailMember    rfc822MailMember
attribute cn                      domain class univentionMailDomainname
attribute sambaAcctFlags          accountStatus letter D noaccess letter L noaccess
attribute shadowExpire            accountStatus word 1 noaccess
