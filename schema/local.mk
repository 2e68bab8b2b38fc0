schemadir = $(pkgdatadir)/schema
dist_schema_DATA = \
	%D%/dirigo.schema \
	%D%/dirigo.ldif
exampledir = $(pkgdatadir)/examples
dist_example_DATA = conf/sample.ldif
dist_man_MANS += %D%/dirigo-schema.5
