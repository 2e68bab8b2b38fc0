noinst_LIBRARIES += gateway/ipc/libipc.a
gateway_ipc_libipc_a_SOURCES = \
	%D%/channel.h \
	%D%/client.c \
	%D%/conn.c \
	%D%/frame.h \
	%D%/msg.c %D%/msg.h \
	%D%/server.c \
	%D%/sync.c
EXTRA_DIST += %D%/PROTOCOL

# What a program that speaks on channels links.
IPC_LIBS = gateway/ipc/libipc.a $(EVENT_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_ipc
tests_unit_test_ipc_SOURCES = tests/unit/test_ipc.c
tests_unit_test_ipc_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_ipc_LDADD = $(IPC_LIBS) $(UNIT_LIBS)
endif
