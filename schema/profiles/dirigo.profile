# Dirigo's own schema, and what every directory has. This profile always applies, behind all others.
# dirigo-profiles(5) describes the syntax.

rank 1000

class inetOrgPerson          user
class dirigoUser             user
class groupOfNames           group
class groupOfUniqueNames     group
class rfc822MailGroup        group
class groupOfURLs            group
class dirigoGroup            group
class dirigoDomain           domain
class dirigoPolicy           policy
class dirigoAccess           access
class dirigoPartner          partner
class dirigoRestrictionClass restrictions
class dirigoConfig           config
class dirigoAppPassword      appPassword
class organizationalUnit     container
class organization           container
class dcObject               container
class domain                 container
class country                container
class locality               container
class organizationalRole     container
class container              container
class nsContainer            container

attribute mail                     mail
attribute uid                      uid
attribute cn                       cn
attribute preferredLanguage        preferredLanguage
attribute member                   member
attribute uniqueMember             member
attribute memberURL                memberURL
attribute authPassword             authPassword
attribute dirigoTotpSecret         totpSecret
attribute oathTOTPToken            oneTimeToken
attribute oathHOTPToken            oneTimeToken
attribute dirigoService            service
attribute dirigoNotAfter           notAfter
attribute userCertificate          certificate
attribute krbPrincipalName         principal
attribute userPrincipalName        principal
attribute mailLocalAddress         mailAlternateAddress
attribute mailHost                 mailHost
attribute mailRoutingAddress       mailRoutingAddress
attribute rfc822MailMember         rfc822MailMember

attribute dirigoForwardingAddress  mailRoutingAddress
attribute dirigoDeliveryMode       deliveryMode
attribute dirigoAccountStatus      accountStatus
          word active active  word disabled disabled  word * noaccess
attribute dirigoQuota              quota
attribute dirigoDomainName         domain
attribute dirigoDomainTarget       domainTarget
attribute dirigoCatchAll           catchAll
attribute dirigoDkimKey            dkimKey
attribute dirigoDmarcAction        dmarcAction
attribute dirigoPolicyDN           policy
attribute dirigoGlobalPolicy       globalPolicy
attribute dirigoSmtpdClientRestrictions    smtpdClientRestrictions
attribute dirigoSmtpdHeloRestrictions      smtpdHeloRestrictions
attribute dirigoSmtpdSenderRestrictions    smtpdSenderRestrictions
attribute dirigoSmtpdRelayRestrictions     smtpdRelayRestrictions
attribute dirigoSmtpdRecipientRestrictions smtpdRecipientRestrictions
attribute dirigoSmtpdDataRestrictions      smtpdDataRestrictions
attribute dirigoSmtpdEndOfDataRestrictions smtpdEndOfDataRestrictions
attribute dirigoSmtpdEtrnRestrictions      smtpdEtrnRestrictions
attribute dirigoPartnerKey         partnerKey
attribute dirigoPartnerTLS         partnerTLS
attribute dirigoPartnerCA          partnerCA
attribute dirigoPartnerCertificate partnerCertificate
attribute dirigoAccessTable        accessTable
attribute dirigoAccessKey          accessKey
attribute dirigoAccessAction       accessAction
attribute dirigoRestrictions       restrictions
attribute dirigoParameter          parameter
attribute dirigoConfigHost         configHost
attribute dirigoListAccess         listAccess
attribute dirigoSendAs             sendAs
attribute publicDelegates          sendAs
attribute dirigoDelegate           delegate
