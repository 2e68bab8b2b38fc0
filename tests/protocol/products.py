"""What the schemas of other products define, as far as mail is concerned, with the numbers that they published."""

_SYNTAX = {"ia5": "EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26",
           "text": "EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15",
           "int": "EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27",
           "bool": "EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7",
           "dn": "EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12"}


def schema(name, attributes, classes):
    """LDIF of cn=NAME,cn=schema,cn=config."""
    lines = [f"dn: cn={name},cn=schema,cn=config", "objectClass: olcSchemaConfig", f"cn: {name}"]
    lines += [f"olcAttributeTypes: ( {oid} NAME '{attribute}' {_SYNTAX[syntax]} )"
              for oid, attribute, syntax in attributes]
    lines += [f"olcObjectClasses: ( {oid} NAME '{c}' {rest} )" for oid, c, rest in classes]
    return "\n".join(lines) + "\n\n"


QMAIL = schema("qmail", [
    ("1.3.6.1.4.1.7914.1.2.1.4", "mailAlternateAddress", "ia5"),
    ("1.3.6.1.4.1.7914.1.2.1.6", "mailHost", "ia5"),
    ("1.3.6.1.4.1.7914.1.2.1.7", "mailForwardingAddress", "ia5"),
    ("1.3.6.1.4.1.7914.1.2.1.3", "mailMessageStore", "ia5"),
    ("1.3.6.1.4.1.7914.1.2.1.10", "deliveryMode", "ia5"),
    ("1.3.6.1.4.1.7914.1.2.1.12", "accountStatus", "ia5"),
    ("1.3.6.1.4.1.7914.1.2.1.15", "mailQuotaSize", "int"),
    ("1.3.6.1.4.1.7914.1.3.1.1", "dnmember", "dn"),
    ("1.3.6.1.4.1.7914.1.3.1.2", "rfc822member", "ia5"),
], [
    ("1.3.6.1.4.1.7914.1.2.2.1", "qmailUser", "SUP top AUXILIARY MUST mail MAY ( uid $ mailMessageStore $ "
     "userPassword $ mailAlternateAddress $ mailHost $ mailForwardingAddress $ deliveryMode $ accountStatus $ "
     "mailQuotaSize )"),
    ("1.3.6.1.4.1.7914.1.3.2.1", "qmailGroup", "SUP top AUXILIARY MUST ( mail $ mailAlternateAddress $ "
     "mailMessageStore ) MAY ( dnmember $ rfc822member )"),
])

NETSCAPE = schema("netscape", [
    ("2.16.840.1.113730.3.1.13", "mailAlternateAddress", "ia5"),
    ("2.16.840.1.113730.3.1.18", "mailHost", "ia5"),
    ("2.16.840.1.113730.3.1.17", "mailForwardingAddress", "ia5"),
    ("2.16.840.1.113730.3.1.16", "mailDeliveryOption", "ia5"),
    ("2.16.840.1.113730.3.1.21", "mailQuota", "ia5"),
    ("2.16.840.1.113730.3.1.30", "mgrpRFC822MailMember", "ia5"),
    ("2.16.840.1.113730.3.1.22", "mgrpAllowedBroadcaster", "ia5"),
    ("2.16.840.1.113730.3.1.778", "mailUserStatus", "ia5"),
    ("2.16.840.1.113730.3.1.692", "inetUserStatus", "ia5"),
], [
    ("2.16.840.1.113730.3.2.3", "mailRecipient", "SUP top AUXILIARY MAY ( cn $ mail $ mailAlternateAddress $ mailHost $ "
     "mailDeliveryOption $ mailForwardingAddress $ mailQuota $ uid $ userPassword )"),
    ("2.16.840.1.113730.3.2.4", "mailGroup", "SUP top AUXILIARY MAY ( cn $ mail $ mailAlternateAddress $ mailHost $ "
     "mgrpAllowedBroadcaster $ mgrpRFC822MailMember )"),
    ("2.16.840.1.113730.3.2.146", "inetMailUser", "SUP top AUXILIARY MAY ( mail $ mailUserStatus $ inetUserStatus )"),
])

# Beside msuser.schema of OpenLDAP: a class that it leaves out, and what Exchange adds.
EXCHANGE = schema("exchange", [
    ("1.2.840.113556.1.2.126", "altRecipient", "dn"),
    ("1.2.840.113556.1.2.190", "deliverAndRedirect", "bool"),
    ("1.2.840.113556.1.2.352", "targetAddress", "text"),
], [
    ("1.2.840.113556.1.3.46", "mailRecipient", "SUP top AUXILIARY MAY ( cn $ altRecipient $ deliverAndRedirect $ "
     "targetAddress )"),
    ("1.2.840.113556.1.5.6", "securityPrincipal", "SUP top AUXILIARY MAY sAMAccountName"),
])

IREDMAIL = schema("iredmail", [
    ("1.3.6.1.4.1.32349.1.2.1.1", "domainName", "ia5"),
    ("1.3.6.1.4.1.32349.1.2.1.19", "domainAliasName", "ia5"),
    ("1.3.6.1.4.1.32349.1.2.2.5", "mailQuota", "int"),
    ("1.3.6.1.4.1.32349.1.2.2.7", "mailHost", "ia5"),
    ("1.3.6.1.4.1.32349.1.2.2.8", "mailForwardingAddress", "ia5"),
    ("1.3.6.1.4.1.32349.1.2.2.9", "accountStatus", "ia5"),
    ("1.3.6.1.4.1.32349.1.2.2.13", "enabledService", "ia5"),
    ("1.3.6.1.4.1.32349.1.2.2.14", "memberOfGroup", "ia5"),
    ("1.3.6.1.4.1.32349.1.2.2.19", "shadowAddress", "ia5"),
], [
    ("1.3.6.1.4.1.32349.1.2.4.1", "mailDomain", "SUP top STRUCTURAL MUST domainName MAY ( domainAliasName $ "
     "accountStatus $ enabledService )"),
    ("1.3.6.1.4.1.32349.1.2.4.3", "mailUser", "SUP top AUXILIARY MUST ( mail $ uid ) MAY ( userPassword $ mailHost $ "
     "mailQuota $ mailForwardingAddress $ shadowAddress $ accountStatus $ enabledService $ memberOfGroup )"),
    ("1.3.6.1.4.1.32349.1.2.4.4", "mailAlias", "SUP top STRUCTURAL MUST mail MAY ( accountStatus $ enabledService $ "
     "mailForwardingAddress $ memberOfGroup )"),
    ("1.3.6.1.4.1.32349.1.2.4.5", "mailList", "SUP top STRUCTURAL MUST mail MAY ( accountStatus $ enabledService $ "
     "memberOfGroup )"),
    ("1.3.6.1.4.1.32349.1.2.4.6", "mailExternalUser", "SUP top STRUCTURAL MUST memberOfGroup MAY ( mail $ "
     "accountStatus $ enabledService )"),
])

KOLAB = schema("kolab", [
    ("1.3.6.1.4.1.19414.2.1.2", "kolabDeleteflag", "ia5"),
    ("1.3.6.1.4.1.19414.2.1.3", "alias", "ia5"),
    ("1.3.6.1.4.1.19419.1.1.1.1", "kolabHomeServer", "ia5"),
    ("1.3.6.1.4.1.19419.1.1.1.14", "kolabForwardAddress", "ia5"),
    ("1.3.6.1.4.1.19419.1.1.1.15", "kolabForwardKeepCopy", "bool"),
    ("1.3.6.1.4.1.19414.2.1.605", "cyrus-userquota", "int"),
], [
    ("1.3.6.1.4.1.19414.3.2.2", "kolabInetOrgPerson", "SUP top AUXILIARY MAY ( alias $ kolabHomeServer $ "
     "kolabForwardAddress $ kolabForwardKeepCopy $ kolabDeleteflag $ cyrus-userquota )"),
    ("1.3.6.1.4.1.19414.3.2.8", "kolabGroupOfNames", "SUP top AUXILIARY MAY ( mail $ kolabDeleteflag )"),
])

UNIVENTION = schema("univention", [
    ("1.3.6.1.4.1.10176.1010.1.1", "mailPrimaryAddress", "ia5"),
    ("1.3.6.1.4.1.10176.1010.1.2", "mailAlternativeAddress", "ia5"),
    ("1.3.6.1.4.1.10176.1010.1.47", "mailForwardAddress", "text"),
    ("1.3.6.1.4.1.10176.1010.1.60", "univentionMailHomeServer", "text"),
    ("1.3.6.1.4.1.10176.1010.1.92", "univentionMailUserQuota", "text"),
    ("1.3.6.1.4.1.10176.1010.1.100", "univentionMailMember", "text"),
    ("1.3.6.1.4.1.7165.2.1.26", "sambaAcctFlags", "ia5"),
], [
    ("1.3.6.1.4.1.10176.1010.2.1", "univentionMail", "SUP top AUXILIARY MUST uid MAY ( univentionMailHomeServer $ "
     "mailPrimaryAddress $ mailAlternativeAddress $ univentionMailUserQuota $ mailForwardAddress )"),
    ("1.3.6.1.4.1.10176.1010.2.100", "univentionMailList", "SUP top STRUCTURAL MUST cn MAY ( mailPrimaryAddress $ "
     "univentionMailMember )"),
    ("1.3.6.1.4.1.10176.1012.2.1", "univentionMailDomainname", "SUP top STRUCTURAL MUST cn"),
    ("1.3.6.1.4.1.7165.2.2.6", "sambaSamAccount", "SUP top AUXILIARY MAY sambaAcctFlags"),
])
