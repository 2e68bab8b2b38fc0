noinst_LIBRARIES += gateway/queue/libqueue_client.a
gateway_queue_libqueue_client_a_SOURCES = %D%/client.c %D%/client.h %D%/protocol.h
