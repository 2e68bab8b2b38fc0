dist_man_MANS += %D%/dirigo-smtpd.8

noinst_LIBRARIES += gateway/smtp/librestriction.a
gateway_smtp_librestriction_a_SOURCES = \
	%D%/dnsl.c %D%/dnsl.h \
	%D%/policy_client.h %D%/policy_endpoint.c \
	%D%/restrict_access.c \
	%D%/restrict_address.c \
	%D%/restrict_basic.c \
	%D%/restrict_cert.c \
	%D%/restrict_client.c \
	%D%/restrict_conf.c \
	%D%/restrict_dnsl.c \
	%D%/restrict_limits.c \
	%D%/restrict_policy.c \
	%D%/restriction.c %D%/restriction.h %D%/restriction_impl.h \
	%D%/restriction_table.c
RESTRICTION_LIBS = gateway/smtp/librestriction.a

# The same with the directory and DNS behind it: for dirigo-smtpd and dirigo explain.
noinst_LIBRARIES += gateway/smtp/libevaluate.a
gateway_smtp_libevaluate_a_SOURCES = \
	%D%/evaluate.c %D%/evaluate.h \
	%D%/limits.c %D%/limits.h \
	%D%/policy_client.c \
	%D%/policy_request.c
EVALUATE_LIBS = gateway/smtp/libevaluate.a $(IDN_LIBS) $(RESTRICTION_LIBS) $(RESOLVER_CLIENT_LIBS) \
	$(DIRECTORY_CLIENT_LIBS)

pkglibexec_PROGRAMS += dirigo-smtpd
dirigo_smtpd_SOURCES = \
	%D%/cmd_auth.c \
	%D%/cmd_bdat.c \
	%D%/cmd_data.c \
	%D%/cmd_etrn.c \
	%D%/cmd_expn.c \
	%D%/cmd_vrfy.c \
	%D%/cmd_xclient.c \
	%D%/cmd_mail.c \
	%D%/cmd_rcpt.c \
	%D%/command.c \
	%D%/effects.c \
	%D%/expand.c \
	%D%/filter.c \
	%D%/extensions.c \
	%D%/main.c \
	%D%/message.c \
	%D%/params.c \
	%D%/pregreet.c \
	%D%/session.c \
	%D%/session_evaluate.c \
	%D%/smtpd.h \
	%D%/submit.c \
	%D%/trace.c \
	%D%/transaction.c
dirigo_smtpd_LDADD = $(EVALUATE_LIBS) $(FILTER_CLIENT_LIBS) gateway/session/libsession.a gateway/queue/libqueue_client.a sasl/libsasl_client.a \
	$(SERVICE_LIBS) gateway/ipc/libipc.a \
	$(PROTO_LIBS) $(TLS_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_restriction
tests_unit_test_restriction_SOURCES = tests/unit/test_restriction.c
tests_unit_test_restriction_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_restriction_LDADD = $(RESTRICTION_LIBS) $(CONF_LIBS) $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_limits
tests_unit_test_limits_SOURCES = tests/unit/test_limits.c
tests_unit_test_limits_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_limits_LDADD = gateway/smtp/libevaluate.a $(CONF_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_restriction_dns
tests_unit_test_restriction_dns_SOURCES = tests/unit/test_restriction_dns.c
tests_unit_test_restriction_dns_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_restriction_dns_LDADD = $(RESTRICTION_LIBS) $(CONF_LIBS) $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_vocabulary
tests_unit_test_vocabulary_SOURCES = tests/unit/test_vocabulary.c
tests_unit_test_vocabulary_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_vocabulary_LDADD = $(RESTRICTION_LIBS) $(CONF_LIBS) $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
endif
