# iRedMail (iredmail.schema, 1.3.6.1.4.1.32349). A user that forwards keeps a copy where its own
# address is among those that it forwards to. A quota counts bytes; 0 is none.

rank 20
detect class mailUser attribute enabledService

class mailUser         user
class mailAlias        alias
class mailList         group
class mailExternalUser recipient
class mailDomain       domain

attribute mail                  mail
attribute shadowAddress         mailAlternateAddress
attribute mailForwardingAddress mailRoutingAddress
attribute mailHost              mailHost
attribute mailQuota             quota
attribute memberOfGroup         memberOfGroup
attribute accessPolicy          listAccess
attribute listModerator         mgrpModerator
attribute listAllowedUser       mgrpAllowedBroadcaster
attribute domainName            domain
attribute domainName            domainTarget
attribute domainAliasName       domain
attribute accountStatus         accountStatus word active active word * disabled
attribute domainStatus          accountStatus word active active word * disabled
attribute enabledService        accountStatus lacks mail disabled
