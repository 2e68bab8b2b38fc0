# Active Directory and Samba, with or without the attributes of Exchange.
#
# A disabled account may not log in, but its mail arrives: mailboxes of rooms and those that several
# people share are disabled accounts. Whoever wants it refused copies this file, writes "disabled"
# for "noaccess" and names the copy in directory_profiles.

rank 10
detect capability 1.2.840.113556.1.4.800
detect class user attribute sAMAccountName attribute proxyAddresses

class user          user
class computer      nothing
class contact       recipient
class group         group
class domainDNS     container
class builtinDomain container

# The primary address is written SMTP:, the others smtp:. Other kinds (X500:, sip:) are none.
attribute proxyAddresses     mail                 prefix SMTP:
attribute proxyAddresses     mailAlternateAddress prefix smtp:
attribute mail               mail
attribute sAMAccountName     uid
attribute userPrincipalName  uid
attribute userPrincipalName  principal
attribute targetAddress      mailRoutingAddress prefix SMTP:
attribute targetAddress      mailRoutingAddress prefix smtp:
# Exchange forwards to the entry of this name, and keeps a copy where it is told to.
attribute altRecipient       member
attribute deliverAndRedirect deliveryMode word TRUE keep word FALSE nolocal
attribute member             member
attribute mDBOverHardQuotaLimit quota unit 1k
attribute publicDelegates    sendAs
attribute userAccountControl accountStatus bit 2 noaccess
