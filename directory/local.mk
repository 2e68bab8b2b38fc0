DIRECTORY_CLIENT_LIBS = directory/libdirectory_client.a conf/libconf.a $(LMDB_LIBS) $(IDN2_LIBS)

# What every process that looks something up links: the replica's reader, resolution, policies.
noinst_LIBRARIES += directory/libdirectory_client.a
directory_libdirectory_client_a_SOURCES = \
	%D%/access.c \
	%D%/address.c %D%/address.h \
	%D%/client.c %D%/client.h \
	%D%/config.c %D%/config.h \
	%D%/connect.c \
	%D%/db.c %D%/db.h \
	%D%/dn.c %D%/dn.h \
	%D%/entry.c \
	%D%/list_policy.c %D%/list_policy.h \
	%D%/locate.c %D%/locate.h \
	%D%/maps.c %D%/maps.h \
	%D%/member.c %D%/member.h \
	%D%/memberurl.c %D%/memberurl.h \
	%D%/policy.c \
	%D%/protocol.h \
	%D%/pulse.c %D%/pulse.h \
	%D%/replica.h \
	%D%/resolve.c %D%/resolve.h \
	%D%/send_as.c %D%/send_as.h
directory_libdirectory_client_a_CFLAGS = $(AM_CFLAGS) $(LMDB_CFLAGS) $(IDN2_CFLAGS)

# The secrets store's reader, for dirigo-auth.
noinst_LIBRARIES += directory/libdirectory_secrets.a
directory_libdirectory_secrets_a_SOURCES = %D%/secrets.c %D%/secrets.h

# What only dirigo-directory has, and the tool that makes a replica of its own: the writer's side,
# and what an entry and a server's message mean.
noinst_LIBRARIES += directory/libdirectory_write.a
directory_libdirectory_write_a_SOURCES = \
	%D%/cookie.c \
	%D%/lint.c %D%/lint.h \
	%D%/maps_write.c \
	%D%/pollclock.c %D%/pollclock.h \
	%D%/profile.c %D%/profile.h %D%/profile_private.h \
	%D%/profile_file.c %D%/profile_file.h %D%/profile_rules.c %D%/profile_set.c \
	%D%/profile_lookup.c %D%/profile_table.c \
	%D%/rdn.c %D%/rdn.h \
	%D%/replica.c \
	%D%/rootdse.c %D%/rootdse.h \
	%D%/scratch.c %D%/scratch.h \
	%D%/secrets_store.c %D%/secrets_store.h \
	%D%/stampmap.c %D%/stampmap.h \
	%D%/starttls.c %D%/starttls.h \
	%D%/subtree.c \
	%D%/syncmsg.c %D%/syncmsg.h \
	%D%/target.c %D%/target.h \
	%D%/uuidset.c %D%/uuidset.h \
	%D%/verified.c %D%/verified.h
directory_libdirectory_write_a_CFLAGS = $(AM_CFLAGS) $(LDAP_CFLAGS)

pkglibexec_PROGRAMS += dirigo-directory
dirigo_directory_SOURCES = \
	%D%/arrival.c \
	%D%/aliasfile.c %D%/aliasfile.h \
	%D%/aliasread.c %D%/aliasread.h \
	%D%/bindpool.c %D%/bindpool.h \
	%D%/check.c %D%/detect.c %D%/detect.h %D%/dynamic.c %D%/dynamic.h %D%/failback.c \
	%D%/ldapconn.c %D%/ldapconn.h \
	%D%/main.c \
	%D%/pump.c %D%/pump.h \
	%D%/search.c \
	%D%/serve.c %D%/serve.h \
	%D%/poll_entry.c %D%/poll_private.h \
	%D%/source.c %D%/source.h %D%/source_ask.c %D%/source_lookup.c %D%/source_poll.c %D%/source_private.h \
	%D%/source_sync.c %D%/source_write.c %D%/want.c %D%/want.h
dist_man_MANS += %D%/dirigo-directory.8
dirigo_directory_CFLAGS = $(AM_CFLAGS) $(LDAP_CFLAGS)
dirigo_directory_LDADD = directory/libdirectory_write.a directory/libdirectory_secrets.a \
	$(DIRECTORY_CLIENT_LIBS) $(PROTO_LIBS) $(SERVICE_LIBS) gateway/ipc/libipc.a $(TLS_LIBS) $(LDAP_LIBS) $(LBER_LIBS)


if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_replica
tests_unit_test_replica_SOURCES = tests/unit/test_replica.c tests/unit/directory_fixture.c \
	tests/unit/directory_fixture.h
tests_unit_test_replica_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_replica_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_access
tests_unit_test_access_SOURCES = tests/unit/test_access.c tests/unit/directory_fixture.c \
	tests/unit/directory_fixture.h
tests_unit_test_access_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_access_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_memberurl
tests_unit_test_memberurl_SOURCES = tests/unit/test_memberurl.c
tests_unit_test_memberurl_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_memberurl_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_list_policy
tests_unit_test_list_policy_SOURCES = tests/unit/test_list_policy.c tests/unit/directory_fixture.c \
	tests/unit/directory_fixture.h
tests_unit_test_list_policy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_list_policy_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_send_as
tests_unit_test_send_as_SOURCES = tests/unit/test_send_as.c tests/unit/directory_fixture.c \
	tests/unit/directory_fixture.h
tests_unit_test_send_as_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_send_as_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_resolve
tests_unit_test_resolve_SOURCES = tests/unit/test_resolve.c tests/unit/directory_fixture.c \
	tests/unit/directory_fixture.h
tests_unit_test_resolve_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_resolve_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_directory_messages
tests_unit_test_directory_messages_SOURCES = tests/unit/test_directory_messages.c
tests_unit_test_directory_messages_CFLAGS = $(UNIT_CFLAGS) $(LDAP_CFLAGS)
tests_unit_test_directory_messages_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_poll_parts
tests_unit_test_poll_parts_SOURCES = tests/unit/test_poll_parts.c
tests_unit_test_poll_parts_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_poll_parts_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_rootdse
tests_unit_test_rootdse_SOURCES = tests/unit/test_rootdse.c
tests_unit_test_rootdse_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_rootdse_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_profiles
tests_unit_test_profiles_SOURCES = tests/unit/test_profiles.c
tests_unit_test_profiles_CFLAGS = $(UNIT_CFLAGS) -DSCHEMA_DIR='"$(abs_top_srcdir)/schema"'
tests_unit_test_profiles_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) \
	$(CONF_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_secrets
tests_unit_test_secrets_SOURCES = tests/unit/test_secrets.c
tests_unit_test_secrets_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_secrets_LDADD = directory/libdirectory_write.a directory/libdirectory_secrets.a \
	$(DIRECTORY_CLIENT_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
endif
