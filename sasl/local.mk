noinst_LIBRARIES += sasl/libsasl_client.a
sasl_libsasl_client_a_SOURCES = %D%/client.c %D%/client.h %D%/protocol.h
