// SPDX-License-Identifier: GPL-2.0
/*
 * Gives tests in user space the kernel's IOMMU API and DMA API on PCI functions; see iommu_ktest.h.
 * Here is what a file and a function are, and which request goes where.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/uaccess.h>

#include "ktest.h"

static DECLARE_RWSEM(ktest_lock);
static LIST_HEAD(ktest_devices);
static LIST_HEAD(ktest_files);

iommu_ktest_bdf ktest_bdf(struct pci_dev *pdev)
{
	return pci_domain_nr(pdev->bus) << 16 | pci_dev_id(pdev);
}

struct ktest_device *ktest_find_device(iommu_ktest_bdf bdf)
{
	struct ktest_device *device;

	list_for_each_entry(device, &ktest_devices, node)
		if (ktest_bdf(device->pdev) == bdf)
			return device;
	return NULL;
}

struct pci_dev *ktest_find(iommu_ktest_bdf bdf)
{
	struct ktest_device *device = ktest_find_device(bdf);

	return device ? device->pdev : NULL;
}

bool ktest_find_pair(struct ktest_file *file, u32 domain, iommu_ktest_bdf device,
		     struct ktest_pair *pair)
{
	pair->domain = xa_load(&file->domains, domain);
	pair->pdev = ktest_find(device);
	return pair->domain && pair->pdev;
}

/* What pci_dev_set_disconnected() does, which is the PCI core's own. */
static int ktest_disconnect(iommu_ktest_bdf bdf)
{
	struct pci_dev *pdev = ktest_find(bdf);

	if (!pdev)
		return -ENODEV;
	WRITE_ONCE(pdev->error_state, pci_channel_io_perm_failure);
	return 0;
}

union ktest_arg {
	struct iommu_ktest_domain domain;
	struct iommu_ktest_attach attach;
	struct iommu_ktest_map map;
	struct iommu_ktest_unmap unmap;
	struct iommu_ktest_phys phys;
	struct iommu_ktest_buffer buffer;
	struct iommu_ktest_dma dma;
	struct iommu_ktest_aux aux;
	struct iommu_ktest_aux_query aux_query;
	struct iommu_ktest_aux_faults aux_faults;
	struct iommu_ktest_aux_misuse aux_misuse;
	u32 number;
};

static int ktest_request(struct ktest_file *file, unsigned int cmd, union ktest_arg *arg)
{
	switch (cmd) {
	case IOMMU_KTEST_DOMAIN_ALLOC:
		return ktest_domain_alloc(file, &arg->domain);
	case IOMMU_KTEST_DOMAIN_FREE:
		return ktest_domain_free(file, &arg->number);
	case IOMMU_KTEST_ATTACH:
		return ktest_attach(file, &arg->attach);
	case IOMMU_KTEST_REPLACE:
		return ktest_replace(file, &arg->attach);
	case IOMMU_KTEST_DETACH:
		return ktest_detach(file, &arg->attach);
	case IOMMU_KTEST_MAP:
		return ktest_map(file, &arg->map);
	case IOMMU_KTEST_UNMAP:
		return ktest_unmap(file, &arg->unmap);
	case IOMMU_KTEST_IOVA_TO_PHYS:
		return ktest_iova_to_phys(file, &arg->phys);
	case IOMMU_KTEST_BUFFER_ALLOC:
		return ktest_buffer_alloc(file, &arg->buffer);
	case IOMMU_KTEST_BUFFER_FREE:
		return ktest_buffer_free(file, &arg->number);
	case IOMMU_KTEST_DMA_MAP:
		return ktest_dma_map(file, &arg->dma);
	case IOMMU_KTEST_DMA_UNMAP:
		return ktest_dma_unmap(file, &arg->dma);
	case IOMMU_KTEST_DISCONNECT:
		return ktest_disconnect(arg->number);
	case IOMMU_KTEST_AUX_CAPABLE:
		return ktest_aux_capable(&arg->aux_query);
	case IOMMU_KTEST_AUX_ENABLE:
	case IOMMU_KTEST_AUX_DISABLE:
	case IOMMU_KTEST_AUX_LEAVE:
		return ktest_aux_device(cmd, arg->number);
	case IOMMU_KTEST_AUX_ATTACH:
		return ktest_aux_attach(file, &arg->aux);
	case IOMMU_KTEST_AUX_DETACH:
		return ktest_aux_detach(file, &arg->aux);
	case IOMMU_KTEST_AUX_ID:
		return ktest_aux_id(file, &arg->aux_query);
	case IOMMU_KTEST_AUX_LISTEN:
		return ktest_aux_listen(file, &arg->aux);
	case IOMMU_KTEST_AUX_UNLISTEN:
		return ktest_aux_unlisten(file, &arg->aux);
	case IOMMU_KTEST_AUX_FAULTS:
		return ktest_aux_faults(file, &arg->aux_faults);
	case IOMMU_KTEST_AUX_MISUSE:
		return ktest_aux_misuse(file, &arg->aux_misuse);
	default:
		return -ENOTTY;
	}
}

static bool ktest_only_uses(unsigned int cmd)
{
	switch (cmd) {
	case IOMMU_KTEST_MAP:
	case IOMMU_KTEST_UNMAP:
	case IOMMU_KTEST_IOVA_TO_PHYS:
	case IOMMU_KTEST_AUX_ATTACH:
	case IOMMU_KTEST_AUX_DETACH:
	case IOMMU_KTEST_AUX_ID:
	case IOMMU_KTEST_DISCONNECT:
		return true;
	default:
		return false;
	}
}

static long ktest_ioctl(struct file *filp, unsigned int cmd, unsigned long user)
{
	struct ktest_file *file = filp->private_data;
	union ktest_arg arg = {};
	int ret;

	if (_IOC_TYPE(cmd) != 0xb7 || _IOC_SIZE(cmd) > sizeof(arg))
		return -ENOTTY;
	if (copy_from_user(&arg, (void __user *)user, _IOC_SIZE(cmd)))
		return -EFAULT;
	if (ktest_only_uses(cmd)) {
		down_read(&ktest_lock);
		ret = ktest_request(file, cmd, &arg);
		up_read(&ktest_lock);
	} else {
		down_write(&ktest_lock);
		ret = ktest_request(file, cmd, &arg);
		up_write(&ktest_lock);
	}
	if (!ret && _IOC_DIR(cmd) & _IOC_READ &&
	    copy_to_user((void __user *)user, &arg, _IOC_SIZE(cmd)))
		ret = -EFAULT;
	return ret;
}

static int ktest_mmap(struct file *filp, struct vm_area_struct *vma)
{
	int ret;

	down_read(&ktest_lock);
	ret = ktest_buffer_mmap(filp->private_data, vma);
	up_read(&ktest_lock);
	return ret;
}

static int ktest_open(struct inode *inode, struct file *filp)
{
	struct ktest_file *file = kzalloc_obj(*file);

	if (!file)
		return -ENOMEM;
	xa_init_flags(&file->domains, XA_FLAGS_ALLOC1);
	xa_init_flags(&file->buffers, XA_FLAGS_ALLOC1);
	down_write(&ktest_lock);
	list_add(&file->node, &ktest_files);
	up_write(&ktest_lock);
	filp->private_data = file;
	return 0;
}

static int ktest_release(struct inode *inode, struct file *filp)
{
	struct ktest_file *file = filp->private_data;
	struct ktest_domain *domain;
	struct ktest_buffer *buffer;
	unsigned long number;

	down_write(&ktest_lock);
	list_del(&file->node);
	/* Buffers last: until its domain is gone, a function may still reach them. */
	xa_for_each(&file->domains, number, domain)
		ktest_domain_release(domain);
	xa_for_each(&file->buffers, number, buffer)
		ktest_buffer_release(buffer);
	up_write(&ktest_lock);
	xa_destroy(&file->domains);
	xa_destroy(&file->buffers);
	kfree(file);
	return 0;
}

static const struct file_operations ktest_fops = {
	.owner = THIS_MODULE,
	.open = ktest_open,
	.release = ktest_release,
	.unlocked_ioctl = ktest_ioctl,
	.mmap = ktest_mmap,
};

static struct miscdevice ktest_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "iommu_ktest",
	.fops = &ktest_fops,
};

static int ktest_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct ktest_device *device;
	int ret;

	device = kzalloc_obj(*device);
	if (!device)
		return -ENOMEM;
	ret = pci_enable_device(pdev);
	if (ret) {
		kfree(device);
		return ret;
	}
	pci_set_master(pdev);
	device->pdev = pdev;
	pci_set_drvdata(pdev, device);
	down_write(&ktest_lock);
	list_add_tail(&device->node, &ktest_devices);
	up_write(&ktest_lock);
	return 0;
}

/* Ends all that @file has to do with @pdev. */
static void ktest_forget(struct ktest_file *file, struct pci_dev *pdev, bool leave_aux)
{
	struct ktest_domain *domain;
	struct ktest_buffer *buffer;
	unsigned long number;

	xa_for_each(&file->domains, number, domain) {
		ktest_domain_forget(domain, pdev);
		ktest_aux_forget(domain, pdev, leave_aux);
	}
	xa_for_each(&file->buffers, number, buffer)
		ktest_buffer_forget(buffer, pdev);
}

static void ktest_remove(struct pci_dev *pdev)
{
	struct ktest_device *device = pci_get_drvdata(pdev);
	struct ktest_file *file;

	pci_clear_master(pdev);
	down_write(&ktest_lock);
	list_for_each_entry(file, &ktest_files, node)
		ktest_forget(file, pdev, device->leave_aux);
	list_del(&device->node);
	up_write(&ktest_lock);
	pci_disable_device(pdev);
	kfree(device);
}

/* No id_table: bound through driver_override only. */
static struct pci_driver ktest_driver = {
	.name = "iommu_ktest",
	.probe = ktest_probe,
	.remove = ktest_remove,
};

static int __init ktest_init(void)
{
	int ret = misc_register(&ktest_misc);

	if (ret)
		return ret;
	ret = pci_register_driver(&ktest_driver);
	if (ret)
		misc_deregister(&ktest_misc);
	return ret;
}
module_init(ktest_init);

static void __exit ktest_exit(void)
{
	pci_unregister_driver(&ktest_driver);
	misc_deregister(&ktest_misc);
}
module_exit(ktest_exit);

MODULE_IMPORT_NS("IOMMUFD_INTERNAL");
MODULE_AUTHOR("siov-rs developers");
MODULE_DESCRIPTION("IOMMU and DMA API for tests in user space");
MODULE_LICENSE("GPL");
