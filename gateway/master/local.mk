noinst_LIBRARIES += gateway/master/libmaster.a
gateway_master_libmaster_a_SOURCES = \
	%D%/control.c \
	%D%/embedded.c %D%/embedded.h %D%/embedded_ldif.c \
	%D%/folders.c \
	%D%/kinds.c \
	%D%/main.c \
	%D%/master.h \
	%D%/notify.c \
	%D%/process.c \
	%D%/protocol.h \
	%D%/sockets.c \
	%D%/supervise.c
