# Kolab 2 and 3 (1.3.6.1.4.1.19414 and .19419). Kolab 3 counts mailQuota in KiB, Kolab 2
# cyrus-userquota in MiB. An account that is to be deleted is none any more; 389 Directory Server
# locks one by nsAccountLock.

rank 20
detect class kolabInetOrgPerson

class kolabInetOrgPerson       user
class kolabGroupOfNames        group
class kolabGroupOfUniqueNames  group
class domainRelatedObject      domain

attribute mail                 mail
attribute alias                mailAlternateAddress
attribute kolabHomeServer      mailHost
attribute mailHost             mailHost
attribute kolabForwardAddress  mailRoutingAddress
attribute kolabForwardKeepCopy deliveryMode word TRUE keep word FALSE nolocal
attribute mailQuota            quota unit 1k
attribute cyrus-userquota      quota unit 1M
attribute associatedDomain     domain
attribute kolabDeleteflag      accountStatus word * disabled
attribute nsAccountLock        accountStatus word TRUE noaccess word FALSE active
