package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// The name in a StorageClass's `provisioner`, and the annotations that the control plane agrees upon with provisioners.
const (
	provisionerName     = "textnlp.dev/local"
	requestedAnnotation = "volume.kubernetes.io/storage-provisioner"
	nodeAnnotation      = "volume.kubernetes.io/selected-node"
	provisionedBy       = "pv.kubernetes.io/provisioned-by"

	volumeMode = 0o777
)

// provisioner makes a directory and a hostPath PersistentVolume for each claim of its classes, and removes both after
// the claim. Every node of a test cluster sees the same file system, so a volume is not tied to a node: it behaves like
// network storage.
type provisioner struct {
	client  kubernetes.Interface
	root    string
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	queue   workqueue.TypedRateLimitingInterface[string]
}

func newProvisionerCommand() *cobra.Command {
	var kubeconfig, root string
	command := &cobra.Command{
		Use:          "provisioner",
		Short:        "Makes hostPath volumes for claims of classes with the provisioner " + provisionerName,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			config.QPS, config.Burst = 100, 200
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			return provision(context.Background(), client, root)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&root, "root", "", "directory of the volumes")
	return command
}

// provision runs until the context ends.
func provision(ctx context.Context, client kubernetes.Interface, root string) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	claims, volumes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	classes := factory.Storage().V1().StorageClasses()
	p := &provisioner{
		client: client, root: root,
		claims: claims.Lister(), volumes: volumes.Lister(), classes: classes.Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 10*time.Second)),
	}
	defer p.queue.ShutDown()
	// Claims have a namespace in their key and volumes none: one queue serves both.
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    p.enqueue,
		UpdateFunc: func(_, object any) { p.enqueue(object) },
	}
	for _, informer := range []cache.SharedIndexInformer{claims.Informer(), volumes.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	classes.Informer() // Listers that nobody asked for before the start stay empty.
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	context.AfterFunc(ctx, p.queue.ShutDown)
	for p.next(ctx) {
	}
	return nil
}

func (p *provisioner) enqueue(object any) {
	if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
		p.queue.Add(key)
	}
}

func (p *provisioner) next(ctx context.Context) bool {
	key, shutdown := p.queue.Get()
	if shutdown {
		return false
	}
	defer p.queue.Done(key)
	if err := p.reconcile(ctx, key); err != nil {
		klog.ErrorS(err, "Retrying", "key", key)
		p.queue.AddRateLimited(key)
	} else {
		p.queue.Forget(key)
	}
	return true
}

func (p *provisioner) reconcile(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	if namespace == "" {
		volume, err := p.volumes.Get(name)
		if err != nil || !reclaimable(volume) {
			return ignoreNotFound(err)
		}
		return p.reclaim(ctx, volume)
	}
	claim, err := p.claims.PersistentVolumeClaims(namespace).Get(name)
	if err != nil || claim.Spec.StorageClassName == nil {
		return ignoreNotFound(err)
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil || !provisionable(claim, class) {
		return ignoreNotFound(err)
	}
	return p.create(ctx, claim, class)
}

func (p *provisioner) create(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	volume := volumeFor(claim, class, p.root)
	path := volume.Spec.HostPath.Path
	if err := os.MkdirAll(path, volumeMode); err != nil {
		return err
	}
	// The umask took bits away; the kubelet does not apply fsGroup to hostPath, so pods of any user must be able to write.
	if err := os.Chmod(path, volumeMode); err != nil {
		return err
	}
	_, err := p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // The claim is about to be bound to what an earlier round made.
		return nil
	}
	klog.InfoS("Provisioned", "claim", klog.KObj(claim), "path", path, "err", err)
	return err
}

func (p *provisioner) reclaim(ctx context.Context, volume *corev1.PersistentVolume) error {
	path := volume.Spec.HostPath.Path
	if filepath.Dir(path) != filepath.Clean(p.root) {
		return fmt.Errorf("volume %s lies at %s, outside %s: not removed", volume.Name, path, p.root)
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	uid := volume.UID
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	klog.InfoS("Reclaimed", "volume", volume.Name, "path", path, "err", err)
	return ignoreNotFound(err)
}

// provisionable tells whether a claim waits for a volume of ours. The control plane sets requestedAnnotation; with
// WaitForFirstConsumer a volume is due only when a pod was given a node.
func provisionable(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) bool {
	if class.Provisioner != provisionerName || claim.Annotations[requestedAnnotation] != provisionerName {
		return false
	}
	if claim.Spec.VolumeName != "" || claim.Spec.Selector != nil || claim.DeletionTimestamp != nil {
		return false
	}
	late := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	return !late || claim.Annotations[nodeAnnotation] != ""
}

// reclaimable tells whether a volume of ours lost its claim and is to be deleted with its data.
func reclaimable(volume *corev1.PersistentVolume) bool {
	return volume.Annotations[provisionedBy] == provisionerName &&
		volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete &&
		volume.Status.Phase == corev1.VolumeReleased &&
		volume.DeletionTimestamp == nil && volume.Spec.HostPath != nil
}

// volumeFor builds the volume for a claim; its name is made of the claim's UID, so that a second round makes no second one.
func volumeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, root string) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	reclaim := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	directory := corev1.HostPathDirectory
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisionerName}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeReclaimPolicy: reclaim,
			StorageClassName:              class.Name,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &corev1.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: filepath.Join(root, name), Type: &directory},
			},
		},
	}
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
