noinst_LIBRARIES += conf/libconf.a
conf_libconf_a_SOURCES = \
	%D%/check.c \
	%D%/conf.c %D%/conf.h %D%/parameters.def \
	%D%/lines.c %D%/lines.h \
	%D%/value.c %D%/value.h

# What a program links that reads a configuration.
CONF_LIBS = conf/libconf.a

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_conf
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_conf_LDADD = $(CONF_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
endif
