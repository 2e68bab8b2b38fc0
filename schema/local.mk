schemadir = $(pkgdatadir)/schema
dist_schema_DATA = \
	%D%/dirigo.schema \
	%D%/dirigo.ldif \
	%D%/mailgroup.ldif
profiledir = $(pkgdatadir)/schema/profiles
dist_profile_DATA = \
	%D%/profiles/ad.profile \
	%D%/profiles/cleartext.profile \
	%D%/profiles/dirigo.profile \
	%D%/profiles/iredmail.profile \
	%D%/profiles/kolab.profile \
	%D%/profiles/lachman.profile \
	%D%/profiles/netscape.profile \
	%D%/profiles/qmail.profile \
	%D%/profiles/univention.profile
exampledir = $(pkgdatadir)/examples
dist_example_DATA = conf/sample.ldif
dist_man_MANS += %D%/dirigo-schema.5 %D%/dirigo-profiles.5
