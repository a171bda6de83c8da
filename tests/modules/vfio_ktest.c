// SPDX-License-Identifier: GPL-2.0
/*
 * Emulated VFIO devices for tests: what their driver asks of the container is what user space tells
 * it to ask, see vfio_ktest.h.
 */
#include <linux/device/faux.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "vfio_ktest.h"

#define DEVICES 2
#define MOST_PINS 4096
#define MOST_BYTES (1 << 20)

struct ktest {
	struct vfio_device vdev;
	struct mutex lock;		/* for the rest; never held around a call into VFIO */
	u64 pins[MOST_PINS];
	unsigned int npins;
	unsigned int notified;
	unsigned int ignore;
};

static struct faux_device *faux[DEVICES];
static struct ktest *devices[DEVICES];

static struct ktest *to_ktest(struct vfio_device *vdev)
{
	return container_of(vdev, struct ktest, vdev);
}

static void remember(struct ktest *k, u64 iova, unsigned int count)
{
	unsigned int i;

	mutex_lock(&k->lock);
	for (i = 0; i < count && k->npins < MOST_PINS; i++)
		k->pins[k->npins++] = iova + (u64)i * PAGE_SIZE;
	mutex_unlock(&k->lock);
}

/* Takes one pin in the range off the list. */
static bool forget(struct ktest *k, u64 iova, u64 length, u64 *pin)
{
	bool found = false;
	unsigned int i;

	mutex_lock(&k->lock);
	for (i = 0; i < k->npins && !found; i++) {
		if (k->pins[i] < iova || k->pins[i] - iova >= length)
			continue;
		*pin = k->pins[i];
		k->pins[i] = k->pins[--k->npins];
		found = true;
	}
	mutex_unlock(&k->lock);
	return found;
}

static void unpin_range(struct ktest *k, u64 iova, u64 length)
{
	u64 pin;

	while (forget(k, iova, length, &pin))
		vfio_unpin_pages(&k->vdev, pin, 1);
}

static void ktest_dma_unmap(struct vfio_device *vdev, u64 iova, u64 length)
{
	struct ktest *k = to_ktest(vdev);
	bool ignored;

	mutex_lock(&k->lock);
	k->notified++;
	ignored = k->ignore;
	if (ignored)
		k->ignore--;
	mutex_unlock(&k->lock);
	if (!ignored)
		unpin_range(k, iova, length);
}

static int ktest_open(struct vfio_device *vdev)
{
	struct ktest *k = to_ktest(vdev);

	k->npins = 0;
	k->notified = 0;
	k->ignore = 0;
	return 0;
}

static void ktest_close(struct vfio_device *vdev)
{
	unpin_range(to_ktest(vdev), 0, U64_MAX);
}

static long pin(struct ktest *k, const struct vfio_ktest_request *request)
{
	struct page **pages;
	u64 *words;
	unsigned int i;
	long ret;

	if (request->count > MOST_PINS)
		return -E2BIG;
	pages = kcalloc(request->count + 1, sizeof(*pages), GFP_KERNEL);
	words = kcalloc(request->count + 1, sizeof(*words), GFP_KERNEL);
	ret = -ENOMEM;
	if (!pages || !words)
		goto out;
	ret = vfio_pin_pages(&k->vdev, request->iova, request->count, request->flags, pages);
	if (ret <= 0)
		goto out;
	remember(k, request->iova, ret);
	for (i = 0; i < ret; i++)
		memcpy_from_page((char *)&words[i], pages[i], 0, sizeof(*words));
	if (copy_to_user(u64_to_user_ptr(request->data), words, ret * sizeof(*words)))
		ret = -EIO;
out:
	kfree(words);
	kfree(pages);
	return ret;
}

static long unpin(struct ktest *k, const struct vfio_ktest_request *request)
{
	long done = 0;
	u64 pin;
	u64 i;

	for (i = 0; i < request->count && i < MOST_PINS; i++) {
		u64 iova = request->iova + i * PAGE_SIZE;

		if (forget(k, iova, 1, &pin)) {
			vfio_unpin_pages(&k->vdev, pin, 1);
			done++;
		}
	}
	return done;
}

static long rw(struct ktest *k, const struct vfio_ktest_request *request)
{
	void *buffer;
	long ret;

	if (request->count > MOST_BYTES)
		return -E2BIG;
	buffer = kvzalloc(request->count + 1, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	ret = -EIO;
	if (copy_from_user(buffer, u64_to_user_ptr(request->data), request->count))
		goto out;
	ret = vfio_dma_rw(&k->vdev, request->iova, buffer, request->count, request->flags);
	if (!ret && !request->flags &&
	    copy_to_user(u64_to_user_ptr(request->data), buffer, request->count))
		ret = -EIO;
out:
	kvfree(buffer);
	return ret;
}

static long ktest_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct ktest *k = to_ktest(vdev);
	struct vfio_ktest_request request;

	if (copy_from_user(&request, (void __user *)arg, sizeof(request)))
		return -EFAULT;
	switch (cmd) {
	case VFIO_KTEST_PIN:
		return pin(k, &request);
	case VFIO_KTEST_UNPIN:
		return unpin(k, &request);
	case VFIO_KTEST_RW:
		return rw(k, &request);
	case VFIO_KTEST_NOTIFIED:
		return k->notified;
	case VFIO_KTEST_IGNORE:
		k->ignore = request.count;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int ktest_init(struct vfio_device *vdev)
{
	mutex_init(&to_ktest(vdev)->lock);
	return 0;
}

static const struct vfio_device_ops ops = {
	.name = "vfio_ktest",
	.init = ktest_init,
	.open_device = ktest_open,
	.close_device = ktest_close,
	.ioctl = ktest_ioctl,
	.dma_unmap = ktest_dma_unmap,
};

struct vfio_device *vfio_ktest_alloc(struct device *dev)
{
	struct ktest *k = vfio_alloc_device(ktest, vdev, dev, &ops);

	return IS_ERR(k) ? ERR_CAST(k) : &k->vdev;
}
EXPORT_SYMBOL_GPL(vfio_ktest_alloc);

static void destroy(void)
{
	unsigned int i;

	for (i = 0; i < DEVICES; i++) {
		if (devices[i]) {
			vfio_unregister_group_dev(&devices[i]->vdev);
			vfio_put_device(&devices[i]->vdev);
		}
		if (faux[i])
			faux_device_destroy(faux[i]);
	}
}

static int __init vfio_ktest_init(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < DEVICES; i++) {
		struct vfio_device *vdev;
		char name[16];

		snprintf(name, sizeof(name), "vfio_ktest.%u", i);
		faux[i] = faux_device_create(name, NULL, NULL);
		if (!faux[i]) {
			ret = -ENODEV;
			goto out;
		}
		vdev = vfio_ktest_alloc(&faux[i]->dev);
		if (IS_ERR(vdev)) {
			ret = PTR_ERR(vdev);
			goto out;
		}
		ret = vfio_register_emulated_iommu_dev(vdev);
		if (ret) {
			vfio_put_device(vdev);
			goto out;
		}
		devices[i] = to_ktest(vdev);
	}
	return 0;
out:
	destroy();
	return ret;
}
module_init(vfio_ktest_init);

static void __exit vfio_ktest_exit(void)
{
	destroy();
}
module_exit(vfio_ktest_exit);

MODULE_AUTHOR("siov-rs developers");
MODULE_DESCRIPTION("Emulated VFIO devices that user space drives, for tests");
MODULE_LICENSE("GPL");
