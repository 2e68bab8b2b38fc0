# Until login.
pkglibexec_PROGRAMS += dirigo-imapd
dirigo_imapd_SOURCES = %D%/front.c %D%/front.h %D%/front_main.c
dirigo_imapd_LDADD = $(SESSION_LIBS) $(SERVICE_LIBS) $(IPC_LIBS) $(PROTO_LIBS) $(TLS_LIBS)

