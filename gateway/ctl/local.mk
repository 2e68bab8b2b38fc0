bin_PROGRAMS += dirigo
dirigo_SOURCES = \
	%D%/answer.c %D%/answer.h \
	%D%/cache.c \
	%D%/command.h \
	%D%/config.c \
	%D%/control.c \
	%D%/dns.c \
	%D%/explain.c %D%/explain.h %D%/explain_ask.c \
	%D%/help.c \
	%D%/json.c \
	%D%/keys.c %D%/keys.h \
	%D%/ldif_file.c %D%/ldif_file.h \
	%D%/lint.c \
	%D%/log_addresses.c %D%/log_addresses.h \
	%D%/lookup.c \
	%D%/main.c \
	%D%/passwd.c \
	%D%/queue.c \
	%D%/what_if.c
dirigo_CPPFLAGS = $(AM_CPPFLAGS) -DDIRIGO_VERSION='"$(PACKAGE_VERSION)"'
dirigo_CFLAGS = $(AM_CFLAGS) $(ARGON2_CFLAGS) $(CRYPT_CFLAGS)
dirigo_LDADD = directory/libdirectory_write.a $(EVALUATE_LIBS) $(CONF_LIBS) $(IPC_LIBS) $(TLS_LIBS) \
	$(ARGON2_LIBS) $(CRYPT_LIBS)
dist_man_MANS += %D%/dirigo.1
