noinst_LIBRARIES += gateway/resolver/libresolver_client.a
gateway_resolver_libresolver_client_a_SOURCES = %D%/client.c %D%/client.h %D%/protocol.h
# Before $(IPC_LIBS) and $(PROTO_LIBS).
RESOLVER_CLIENT_LIBS = gateway/resolver/libresolver_client.a
