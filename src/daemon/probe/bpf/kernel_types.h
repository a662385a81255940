/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel fields that the probe reads, and no others. CO-RE finds them by name in the running kernel's BTF; order
 * and neighbours here mean nothing.
 */
#ifndef KM_PROBE_KERNEL_TYPES_H
#define KM_PROBE_KERNEL_TYPES_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct thread_info {
    __u32 status;
};

struct pt_regs {
    unsigned long r10, r9, r8, ax, cx, dx, si, di, bx, bp, orig_ax;
};

struct kernfs_node {
    const char *name;
    __u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
    struct cgroup *cgroup;
    struct cgroup_subsys_state *parent;
};

struct cgroup_root {
    int hierarchy_id;
};

struct cgroup {
    struct cgroup_subsys_state self;
    struct kernfs_node *kn;
    struct cgroup_root *root;
};

struct css_set {
    struct cgroup *dfl_cgrp;
};

struct qstr {
    const unsigned char *name;
};

struct inode {
    unsigned short i_mode;
    unsigned int i_nlink;
};

struct dentry {
    struct dentry *d_parent;
    struct qstr d_name;
    struct inode *d_inode;
};

struct vfsmount {
    struct dentry *mnt_root;
};

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};

struct fs_struct {
    struct path root, pwd;
};

struct file {
    struct inode *f_inode;
    struct path f_path;
    void *private_data;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

struct files_struct {
    struct fdtable *fdt;
};

struct sock_common {
    __u32 skc_daddr;
    __u32 skc_rcv_saddr;
    __u16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    struct in6_addr {
        __u8 km_bytes[16];
    } skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock {
    struct sock_common __sk_common;
};

struct socket {
    struct sock *sk;
};

struct mm_struct {
    unsigned long arg_start, arg_end;
};

struct linux_binprm {
    struct file *file;
    const char *filename;
};

struct cred {
    struct {
        __u32 val;
    } uid;
};

struct bpf_local_storage;

struct task_struct {
    struct thread_info thread_info;
    unsigned int flags;
    int pid, tgid;
    char comm[16];
    struct task_struct *real_parent, *group_leader;
    const struct cred *cred;
    struct mm_struct *mm;
    struct fs_struct *fs;
    struct files_struct *files;
    struct css_set *cgroups;
    struct bpf_local_storage *bpf_storage;
};

struct bpf_iter_meta {
    struct seq_file *seq;
};

struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};

struct syscall_trace_exit {
    int nr;
    long ret;
};

#pragma clang attribute pop

#define KM_PF_EXITING 0x00000004U
#define KM_PF_KTHREAD 0x00200000U
#define KM_TS_COMPAT  0x0002U /* thread_info.status: a 32-bit call on x86-64 */

#endif
