noinst_LIBRARIES += gateway/service/libservice.a
gateway_service_libservice_a_SOURCES = \
	%D%/protocol.h \
	%D%/sandbox.c %D%/sandbox.h \
	%D%/service.c %D%/service.h
gateway_service_libservice_a_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS)

# The main of a process; named before the libraries of ipc and event.
SERVICE_LIBS = gateway/service/libservice.a $(CONF_LIBS) $(SECCOMP_LIBS)
