sbin_PROGRAMS += dirigod
dirigod_SOURCES = \
	%D%/control.c \
	%D%/files.c \
	%D%/tls_keys.c \
	%D%/embedded.c %D%/embedded.h %D%/embedded_ldif.c \
	%D%/folders.c \
	%D%/kinds.c \
	%D%/main.c \
	%D%/master.h \
	%D%/notify.c \
	%D%/process.c \
	%D%/protocol.h \
	%D%/settings.c \
	%D%/sockets.c \
	%D%/supervise.c
dirigod_LDADD = $(CONF_LIBS) $(IPC_LIBS)
dist_man_MANS += %D%/dirigod.8
