bin_PROGRAMS += dirigo
dirigo_SOURCES = \
	%D%/command.h \
	%D%/config.c \
	%D%/help.c \
	%D%/json.c \
	%D%/main.c
dirigo_CPPFLAGS = $(AM_CPPFLAGS) -DDIRIGO_VERSION='"$(PACKAGE_VERSION)"'
dirigo_LDADD = $(CONF_LIBS) $(BASE_LIBS)
