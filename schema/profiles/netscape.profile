# Netscape, iPlanet and Sun messaging servers; 389 Directory Server has this schema loaded.
# A quota counts bytes; -1 is none. "inactive" and "hold" stop logins there while mail waits.

rank 50
detect class mailGroup
detect class mailRecipient attribute mailDeliveryOption
detect class mailRecipient attribute mailAlternateAddress
detect class inetMailUser

class mailRecipient    user
class inetMailUser     user
class mailGroup        group
class inetMailGroup    group
class inetLocalMailRecipient recipient

attribute mailAlternateAddress  mailAlternateAddress
attribute mailEquivalentAddress mailAlternateAddress
attribute mailRoutingAddress    mailRoutingAddress
attribute mailForwardingAddress mailForwardingAddress
attribute mailDeliveryOption    deliveryMode
          word mailbox keep  word native keep  word unix keep  word forward nolocal
attribute mailHost              mailHost
attribute mailQuota             quota
attribute mgrpRFC822MailMember  rfc822MailMember
attribute rfc822MailMember      rfc822MailMember
attribute mgrpDeliverTo         memberURL
attribute mgrpAllowedBroadcaster    mgrpAllowedBroadcaster
attribute mgrpDisallowedBroadcaster mgrpDisallowedBroadcaster
attribute mgrpAllowedDomain         mgrpAllowedDomain
attribute mgrpDisallowedDomain      mgrpDisallowedDomain
attribute mgrpBroadcasterPolicy     mgrpBroadcasterPolicy
attribute mgrpMsgMaxSize            mgrpMsgMaxSize
attribute mgrpModerator             mgrpModerator
attribute mgrpMsgRejectAction       mgrpMsgRejectAction
attribute mgrpMsgRejectText         mgrpMsgRejectText
attribute mgrpErrorsTo              mgrpErrorsTo
attribute mailUserStatus        accountStatus
          word active active  word disabled disabled  word deleted disabled
          word removed disabled  word overquota active  word * noaccess
attribute inetUserStatus        accountStatus
          word active active  word deleted disabled  word removed disabled  word * noaccess
attribute inetMailGroupStatus   accountStatus
          word active active  word * disabled
