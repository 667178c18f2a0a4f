# SPDX-License-Identifier: GPL-2.0-or-later
#
# Module, daemon and tools.  Kbuild describes the module; with DEBUG=1 it tests
# itself when it is loaded.
#
#	make [KVER=6.12.1-amd64] [KDIR=/path/to/headers] [DEBUG=1]
#	make install [DESTDIR=/path]

KVER ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVER)/build
VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)

# Never through /lib, which is a link that a stage must not replace.
LIB := $(DESTDIR)/usr/lib
MODULES := $(LIB)/modules/$(KVER)/updates
UNITS := $(LIB)/systemd/system
DKMS := $(DESTDIR)/usr/src/vaultring-$(VERSION)
MAN := $(DESTDIR)/usr/share/man
EXAMPLES := $(DESTDIR)/usr/share/doc/vaultring/examples
CONF := $(DESTDIR)/etc/vaultring/vaultring.conf
U := daemon/units

all: module daemon

module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

daemon:
	$(MAKE) -C daemon

install: install-module install-units install-man
	$(MAKE) -C daemon install DESTDIR=$(DESTDIR)
	[ -n "$(DESTDIR)" ] || { depmod $(KVER) && systemd-sysusers; }

# DKMS's module, where it has one for this kernel, stays the only one.
install-module: module install-dkms
	@if ls $(MODULES)/dkms/vaultring.ko* > /dev/null 2>&1; then \
		echo "DKMS has the module for $(KVER); to build this one:" \
			"dkms build --force vaultring/$(VERSION) -k $(KVER) &&" \
			"dkms install --force vaultring/$(VERSION) -k $(KVER)"; \
	else \
		install -D -m 0644 vaultring.ko $(MODULES)/vaultring.ko && \
		strip --strip-debug $(MODULES)/vaultring.ko; \
	fi

install-dkms:
	mkdir -p $(DKMS)
	cp --parents dkms.conf Kbuild COPYING $(wildcard kmod/*.[ch] \
		kmod/generated/*.[ch] kmod/selftest/*.[ch] uapi/linux/*.h) $(DKMS)

install-units:
	install -D -m 0644 -t $(UNITS) $(U)/vaultringd.service \
		$(U)/vaultring-guard.service $(U)/vaultring-open@.service \
		$(U)/vaultring-transport.service $(U)/vaultring-reseal.service \
		$(U)/vaultring-reseal.timer
	install -D -m 0644 $(U)/vaultring.sysusers $(LIB)/sysusers.d/vaultring.conf
	install -D -m 0644 $(U)/vaultring.modules $(LIB)/modules-load.d/vaultring.conf
	install -D -m 0644 -t $(EXAMPLES) $(U)/softhsm.conf \
		$(U)/opencryptoki.conf $(U)/tpm2.conf $(U)/vaultring.conf
	[ -e $(CONF) ] || install -D -m 0644 $(U)/vaultring.conf $(CONF)

install-man:
	for page in daemon/man/*.[1-8]; do \
		install -D -m 0644 $$page $(MAN)/man$${page##*.}/$${page##*/} || exit 1; \
	done

check:
	scripts/check

clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) clean
	$(MAKE) -C daemon clean

.PHONY: all module daemon install install-module install-dkms install-units \
	install-man check clean
