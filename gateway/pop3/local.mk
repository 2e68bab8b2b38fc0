dist_man_MANS += %D%/dirigo-pop3d.8
# Until login.
pkglibexec_PROGRAMS += dirigo-pop3d
dirigo_pop3d_SOURCES = %D%/front.c %D%/front.h %D%/front_main.c
dirigo_pop3d_LDADD = $(SESSION_LIBS) $(SERVICE_LIBS) $(IPC_LIBS) $(PROTO_LIBS) $(TLS_LIBS)

# POP3 sessions after login, for dirigo-mailbox.
noinst_LIBRARIES += gateway/pop3/libpop3session.a
gateway_pop3_libpop3session_a_SOURCES = \
	%D%/cmd.c \
	%D%/dots.c %D%/dots.h \
	%D%/session.c %D%/session.h
