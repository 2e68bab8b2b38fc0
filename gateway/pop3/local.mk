# Until login.
pkglibexec_PROGRAMS += dirigo-pop3d
dirigo_pop3d_SOURCES = %D%/front.c %D%/front.h %D%/front_main.c
dirigo_pop3d_LDADD = $(SESSION_LIBS) $(SERVICE_LIBS) $(IPC_LIBS) $(PROTO_LIBS) $(TLS_LIBS)

