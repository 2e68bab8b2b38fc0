# Authentication of mail (SPF, DKIM, DMARC, ARC, SRS): engines without I/O.
noinst_LIBRARIES += gateway/filter/libfilter.a
gateway_filter_libfilter_a_SOURCES = \
	%D%/arc_seal.c %D%/arc_verify.c %D%/arc.h %D%/arc_private.h \
	%D%/authres.c %D%/authres.h \
	%D%/bodyhash.c %D%/bodyhash.h \
	%D%/canon.c %D%/canon.h \
	%D%/crypto.c %D%/crypto.h \
	%D%/dkim_sign.c %D%/dkim_verify.c %D%/dkim.h \
	%D%/dmarc.c %D%/dmarc.h \
	%D%/fields.c %D%/fields.h \
	%D%/signature.c %D%/signature_check.c %D%/signature.h \
	%D%/spf.c %D%/spf_macro.c %D%/spf_record.c %D%/spf.h %D%/spf_private.h \
	%D%/srs.c %D%/srs.h \
	%D%/taglist.c %D%/taglist.h
gateway_filter_libfilter_a_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS)
# Before $(BASE_LIBS).
FILTER_LIBS = gateway/filter/libfilter.a $(RESOLVER_CLIENT_LIBS) $(IPC_LIBS) -lcrypto

noinst_LIBRARIES += gateway/filter/libfilter_client.a
gateway_filter_libfilter_client_a_SOURCES = %D%/client.c %D%/client.h %D%/protocol.h
# Before $(IPC_LIBS).
FILTER_CLIENT_LIBS = gateway/filter/libfilter_client.a

pkglibexec_PROGRAMS += dirigo-filter
dirigo_filter_SOURCES = \
	%D%/decide.c \
	%D%/filter.h \
	%D%/forward.c \
	%D%/job.c \
	%D%/keyring.c %D%/keyring.h \
	%D%/main.c \
	%D%/rewrite.c %D%/rewrite.h \
	%D%/server.c \
	%D%/signing.c \
	%D%/suffix.c %D%/suffix.h
dirigo_filter_CFLAGS = $(AM_CFLAGS) $(PSL_CFLAGS)
dirigo_filter_LDADD = $(DIRECTORY_CLIENT_LIBS) gateway/filter/libfilter.a $(RESOLVER_CLIENT_LIBS) \
	$(SERVICE_LIBS) $(IPC_LIBS) -lcrypto $(PSL_LIBS)
dist_man_MANS += %D%/dirigo-filter.8

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_canon
tests_unit_test_canon_SOURCES = tests/unit/test_canon.c
tests_unit_test_canon_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_canon_LDADD = $(FILTER_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_dkim
tests_unit_test_dkim_SOURCES = tests/unit/test_dkim.c
tests_unit_test_dkim_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_dkim_LDADD = $(FILTER_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_spf
tests_unit_test_spf_SOURCES = tests/unit/test_spf.c
tests_unit_test_spf_CFLAGS = $(UNIT_CFLAGS) -DDATA_DIR='"$(abs_srcdir)/tests/data"'
tests_unit_test_spf_LDADD = $(FILTER_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_arc
tests_unit_test_arc_SOURCES = tests/unit/test_arc.c
tests_unit_test_arc_CFLAGS = $(UNIT_CFLAGS) -DDATA_DIR='"$(abs_srcdir)/tests/data"'
tests_unit_test_arc_LDADD = $(FILTER_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_dmarc
tests_unit_test_dmarc_SOURCES = tests/unit/test_dmarc.c
tests_unit_test_dmarc_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_dmarc_LDADD = $(FILTER_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_srs
tests_unit_test_srs_SOURCES = tests/unit/test_srs.c
tests_unit_test_srs_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_srs_LDADD = $(FILTER_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
endif
EXTRA_DIST += tests/data/arc.tests tests/data/rfc7208.tests
