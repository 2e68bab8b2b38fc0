# POP3 sessions after login, for dirigo-mailbox.
noinst_LIBRARIES += gateway/pop3/libpop3session.a
gateway_pop3_libpop3session_a_SOURCES = \
	%D%/cmd.c \
	%D%/dots.c %D%/dots.h \
	%D%/session.c %D%/session.h
