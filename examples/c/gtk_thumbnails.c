/* SPDX-License-Identifier: ISC
 *
 * gtk_thumbnails.c: a window whose button stays alive while a pool makes thumbnails of the files
 * named. Closing the window cancels what is left.
 */
#include <gtk/gtk.h>
#include <weir_glib.h>

static weir_pool *pool;
static GtkWidget *shelf;

static void make(GTask *task, void *source, void *path, GCancellable *cancellable) /* on a worker */
{
    GError    *error = NULL;
    GdkPixbuf *image = gdk_pixbuf_new_from_file_at_scale(path, 96, 96, TRUE, &error);
    if (image)
        g_task_return_pointer(task, image, g_object_unref);
    else
        g_task_return_error(task, error);
}

static void made(GObject *source, GAsyncResult *result, void *unused) /* in the loop */
{
    const char *path = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    g_autoptr(GdkPixbuf) image = g_task_propagate_pointer(G_TASK(result), &error);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the window is gone */
    gtk_container_add(GTK_CONTAINER(shelf),
                      image ? gtk_image_new_from_pixbuf(image) : gtk_label_new(error->message));
    gtk_widget_show_all(shelf);
    g_print("%s: %s\n", path, image ? "a thumbnail" : error->message);
}

static void press(GtkButton *button, void *unused)
{
    static int       times;
    g_autofree char *text = g_strdup_printf("Pressed: %d", ++times);
    gtk_button_set_label(button, text);
    g_print("pressed\n");
}

static void closing(GtkWidget *window, void *cancellable)
{
    g_cancellable_cancel(cancellable);
    gtk_main_quit();
}

static void show(GCancellable *cancellable)
{
    GtkWidget *window = g_object_new(GTK_TYPE_WINDOW, "title", "Thumbnails", "default-width", 480,
                                     "default-height", 320, NULL);
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);
    GtkWidget *button = gtk_button_new_with_label("Press me");
    gtk_container_add(GTK_CONTAINER(window), box);
    gtk_container_add(GTK_CONTAINER(box), button);
    gtk_container_add(GTK_CONTAINER(box), shelf = gtk_flow_box_new());
    g_signal_connect(button, "clicked", G_CALLBACK(press), NULL);
    g_signal_connect(window, "destroy", G_CALLBACK(closing), cancellable);
    gtk_widget_show_all(window);
}

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "thumbs", .threads = 2};
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    if (!gtk_init_check(&argc, &argv) || weir_pool_open(&pool, &opts) != 0)
        return 1;
    show(cancellable);
    for (int i = 1; i < argc; i++) {
        g_autoptr(GTask) task = g_task_new(NULL, cancellable, made, NULL);
        g_task_set_task_data(task, argv[i], NULL);
        weir_g_task_run(task, pool, make);
    }
    gtk_main();
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return 0;
}
