<?php
// SPDX-License-Identifier: Apache-2.0
namespace App;

use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Bundle\TwigBundle\TwigBundle;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpKernel\Event\ResponseEvent;
use Symfony\Component\HttpKernel\Kernel as BaseKernel;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

class Kernel extends BaseKernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle(), new TwigBundle()];
    }

    public function getProjectDir(): string
    {
        return \dirname(__DIR__);
    }

    private function configureContainer(ContainerConfigurator $container): void
    {
        $container->import('../config/framework.yaml');
        $services = $container->services()->defaults()->autowire()->autoconfigure();
        $services->set(Pages::class)->public()->tag('controller.service_arguments');
        $services->set(Now::class)->tag('kernel.event_listener', ['event' => 'kernel.response']);
    }

    private function configureRoutes(RoutingConfigurator $routes): void
    {
        $all = ['shop' => '/{how}/shop/{n}', 'mine' => '/{how}/mine/{n}', 'failing' => '/{how}/failing',
                'inside' => '/{how}/inside', 'both' => '/both', 'hinclude' => '/hinclude', 'ticker' => '/ticker',
                'own' => '/http-cache/shop', 'hello' => '/hello', 'login' => '/login'];
        foreach ($all as $name => $path) {
            $routes->add($name, $path)->controller([Pages::class, $name]);
        }
    }
}

/** The test moves time: answers are of the time that the file says. */
class Now
{
    public function __invoke(ResponseEvent $event): void
    {
        $file = getenv('APP_NOW');
        if (is_file($file)) {
            $event->getResponse()->setDate(new \DateTimeImmutable('@' . (int) file_get_contents($file)));
        }
    }
}
