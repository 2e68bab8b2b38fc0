noinst_LIBRARIES += conf/libconf.a
conf_libconf_a_SOURCES = \
	%D%/check.c \
	%D%/conf.c %D%/conf.h %D%/parameters.def \
	%D%/directories.c \
	%D%/lines.c %D%/lines.h \
	%D%/networks.c %D%/networks.h \
	%D%/value.c %D%/value.h

# What a program links that reads a configuration.
CONF_LIBS = conf/libconf.a

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_conf
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_conf_LDADD = $(CONF_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
endif

# The manual page takes its table from the one list, so that the two cannot differ.
noinst_PROGRAMS += conf/mdoc
conf_mdoc_SOURCES = %D%/mdoc.c
conf_mdoc_LDADD = $(CONF_LIBS) $(BASE_LIBS)
nodist_man_MANS += conf/dirigo.conf.5
conf/dirigo.conf.5: conf/mdoc$(EXEEXT) %D%/dirigo.conf.5.in
	$(AM_V_GEN)conf/mdoc$(EXEEXT) $(srcdir)/%D%/dirigo.conf.5.in >$@.tmp && mv $@.tmp $@

# Files that name the folders of this installation.
CONF_SED = sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' \
	-e 's|@sysconfdir[@]|$(sysconfdir)|g'
conf/dirigo.conf: %D%/dirigo.conf.in Makefile
	$(AM_V_GEN)$(CONF_SED) $(srcdir)/%D%/dirigo.conf.in >$@.tmp && mv $@.tmp $@
conf/dirigo.service: %D%/dirigo.service.in Makefile
	$(AM_V_GEN)$(CONF_SED) $(srcdir)/%D%/dirigo.service.in >$@.tmp && mv $@.tmp $@

# systemd-sysusers reads files named NAME.conf.
conf/dirigo-users.conf: %D%/dirigo.sysusers
	$(AM_V_GEN)cp $(srcdir)/%D%/dirigo.sysusers $@

# A sample to copy to $(sysconfdir)/dirigo/dirigo.conf: an installation never overwrites that file.
nodist_example_DATA = conf/dirigo.conf
systemdunitdir = $(systemdsystemunitdir)
nodist_systemdunit_DATA = conf/dirigo.service
sysusersdir = $(prefix)/lib/sysusers.d
nodist_sysusers_DATA = conf/dirigo-users.conf
CLEANFILES += conf/dirigo-users.conf conf/dirigo.conf conf/dirigo.conf.5 conf/dirigo.service
EXTRA_DIST += %D%/dirigo.sysusers %D%/dirigo.conf.5.in %D%/dirigo.conf.in %D%/dirigo.service.in
